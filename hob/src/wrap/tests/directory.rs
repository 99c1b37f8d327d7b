//! The wrappers of a machine, by name.

use ocapn::netlayers::LoopbackNetwork;
use ocapn::persist::Memory;
use ocapn::{Ref, Value};

use super::kit::{Machine, Served, ask, echo, exchange, until};
use super::server::Server;
use crate::wrap::{Address, Wrappers};

fn wrappers(machine: &Machine) -> Ref {
    machine.vat.root_or_spawn("wrappers", || Wrappers::new(&machine.wrap)).unwrap()
}

async fn names(wrappers: &Ref) -> Vec<String> {
    let Value::List(list) = ask(wrappers, "list", vec![]).await.unwrap() else { panic!() };
    let name = |entry| match entry {
        Value::Struct(fields) => {
            let text = |at: usize| fields[at].1.as_str().or(fields[at].1.as_symbol()).unwrap();
            format!("{} {}", text(0), text(1))
        }
        other => panic!("{other:?}"),
    };
    list.into_iter().map(name).collect()
}

#[tokio::test]
async fn what_a_machine_has_comes_up_again_until_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("forward");
    let (network, disk) = (LoopbackNetwork::new(), Memory::new());
    let served = Served::tcp(echo).await;
    let machine = Machine::start(&network, "machine", &disk);
    let all = wrappers(&machine);
    let address = Value::from(served.address.to_string());
    let socket = ask(&all, "socket", vec!["echo".into(), address.clone()]).await.unwrap();
    let listen = format!("unix:{}", path.display());
    let forward = vec!["door".into(), listen.as_str().into(), socket];
    let listens = ask(&all, "forward", forward.clone()).await.unwrap();
    assert_eq!(listens.as_str(), Some(listen.as_str()));
    assert_eq!(names(&all).await, ["door forward", "echo socket"]);
    for (method, args, why) in [
        ("forward", forward, "wrappers forward: \"door\" is there already, a forward"),
        ("get", vec!["x".into()], "wrappers get: there is no \"x\""),
        ("socket", vec!["".into(), address], "wrappers socket: the name is empty"),
        (
            "socket",
            vec!["x".into(), "80".into()],
            "wrappers socket: \"80\" is no address: tcp:HOST:PORT or unix:/PATH is one",
        ),
    ] {
        assert_eq!(ask(&all, method, args).await.unwrap_err().to_string(), why);
    }
    drop(all);
    machine.end().await;

    let machine = Machine::start(&network, "machine", &disk);
    let all = wrappers(&machine);
    ask(&all, "start", vec![]).await.unwrap();
    let Value::Ref(door) = ask(&all, "get", vec!["door".into()]).await.unwrap() else { panic!() };
    until(&door, "status", "state", &Value::symbol("listening")).await;
    let mut socket = Address::Unix(path.clone()).connect().await.unwrap();
    assert_eq!(exchange(&mut socket, b"hello").await, b"hello");
    for (name, there) in [("door", true), ("door", false), ("echo", true)] {
        assert_eq!(ask(&all, "remove", vec![name.into()]).await, Ok(there.into()));
    }
    assert!(!path.exists());
    assert!(names(&all).await.is_empty());
}

#[tokio::test]
async fn removing_a_database_drops_all_its_roles() {
    let Some(server) = Server::get() else { return };
    let (settings, admin) = server.database("removed").await;
    let machine = Machine::start(&LoopbackNetwork::new(), "machine", &Memory::new());
    let all = wrappers(&machine);
    let settings = serde_json::to_string(&settings).unwrap();
    let db = ask(&all, "postgres", vec!["db".into(), settings.into()]).await.unwrap();
    let Value::Ref(db) = db else { panic!() };
    for id in ["removed-1", "removed-2"] {
        ask(&db, "grant", vec![id.into(), Value::List(vec![])]).await.unwrap();
    }
    assert_eq!(ask(&all, "remove", vec!["db".into()]).await, Ok(true.into()));
    let query = "SELECT FROM pg_roles WHERE rolname LIKE 'hob\\_removed%'";
    assert!(admin.query(query, &[]).await.unwrap().is_empty());
    assert!(names(&all).await.is_empty());
    let error = ask(&all, "postgres", vec!["db".into(), "{}".into()]).await.unwrap_err();
    assert!(error.to_string().contains("missing field `database`"), "{error}");
}
