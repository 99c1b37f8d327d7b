//! Databases: what roles may do, that grants are apart, and that nothing is left of them.

use std::sync::Arc;

use ocapn::netlayers::LoopbackNetwork;
use ocapn::persist::Memory;
use ocapn::{Fault, Ref, Value};
use tokio::io::AsyncWriteExt as _;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::kit::{Machine, ask, field, pair, until};
use super::server::Server;
use crate::wrap::socket::Address;
use crate::wrap::{PostgresService, PostgresSettings};

/// A database with a table, offered by one machine and used on another.
struct Shop {
    server: Arc<Server>,
    settings: PostgresSettings,
    admin: Client,
    service: Machine,
    program: Machine,
    object: Ref,
}

impl Shop {
    async fn open(name: &str) -> Option<Self> {
        Self::with(name, |_| {}).await
    }

    async fn with(name: &str, set: impl FnOnce(&mut PostgresSettings)) -> Option<Self> {
        let server = Server::get()?;
        let (mut settings, admin) = server.database(name).await;
        set(&mut settings);
        let script = "CREATE TABLE stock (id serial PRIMARY KEY, what text);
                      INSERT INTO stock (what) VALUES ('spoon')";
        admin.batch_execute(script).await.unwrap();
        let (service, program) = pair();
        let object = offered(&service, &settings).await;
        Some(Self { server, settings, admin, service, program, object })
    }

    /// What a grant gives, as it is seen by the machine of the program.
    async fn grant(&self, id: &str, rules: &[&str]) -> Ref {
        let granted = grant(&self.object, id, rules).await.unwrap();
        self.program.get(&self.service, &granted)
    }

    async fn forward(&self, granted: &Ref) -> (Ref, Address) {
        self.program.forward("tcp:127.0.0.1:0", granted).await
    }

    async fn has_role(&self, role: &str) -> bool {
        let query = "SELECT FROM pg_roles WHERE rolname = $1";
        self.admin.query_opt(query, &[&role]).await.unwrap().is_some()
    }
}

async fn offered(machine: &Machine, settings: &PostgresSettings) -> Ref {
    let settings = settings.clone();
    machine.spawn(move |turn, wrap| PostgresService::spawn(turn, wrap, settings)).await
}

async fn grant(object: &Ref, id: &str, rules: &[&str]) -> Result<Ref, Fault> {
    let rule = |rule: &&str| Value::Struct([("rule".into(), Value::Symbol((*rule).into()))].into());
    let rules = Value::List(rules.iter().map(rule).collect());
    match ask(object, "grant", vec![id.into(), rules]).await? {
        Value::Ref(granted) => Ok(granted),
        other => panic!("{other:?}"),
    }
}

/// Connects as somebody who knows nothing of roles and passwords.
async fn connect(address: &Address) -> Result<Client, tokio_postgres::Error> {
    let mut config = Config::new();
    config.user("whoever").dbname("whatever").application_name("test");
    let socket = address.connect().await.unwrap();
    let (client, connection) = config.connect_raw(socket, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn code(error: &tokio_postgres::Error) -> Option<&SqlState> {
    error.code()
}

#[tokio::test]
async fn read_only_reads_and_read_write_writes() {
    let Some(shop) = Shop::open("rights").await else { return };
    let reader = shop.grant("rights-reader", &["read-only"]).await;
    let writer = shop.grant("rights-writer", &[]).await;
    let (_f, to_reader) = shop.forward(&reader).await;
    let (_g, to_writer) = shop.forward(&writer).await;
    let (reader, writer) = (connect(&to_reader).await.unwrap(), connect(&to_writer).await.unwrap());

    let row = reader.query_one("SELECT current_user::text, what FROM stock", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "hob_rights-reader");
    assert_eq!(row.get::<_, &str>(1), "spoon");
    for refused in [
        "INSERT INTO stock (what) VALUES ('fork')",
        "UPDATE stock SET what = 'fork'",
        "DELETE FROM stock",
        "TRUNCATE stock",
        "DROP TABLE stock",
        "CREATE TABLE more (id int)",
        "SELECT nextval('stock_id_seq')",
    ] {
        let error = reader.batch_execute(refused).await.unwrap_err();
        let read_only = [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::INSUFFICIENT_PRIVILEGE];
        assert!(read_only.contains(code(&error).unwrap()), "{refused}: {error}");
        reader.batch_execute("SET default_transaction_read_only = off").await.unwrap();
        let error = reader.batch_execute(refused).await.unwrap_err();
        assert_eq!(code(&error), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused}");
        reader.batch_execute("RESET default_transaction_read_only").await.unwrap();
    }
    for refused in ["CREATE ROLE more", "SET ROLE postgres", "SELECT * FROM pg_authid"] {
        for client in [&reader, &writer] {
            client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
            let error = client.batch_execute(refused).await.unwrap_err();
            assert_eq!(code(&error), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused}");
        }
    }

    writer.batch_execute("INSERT INTO stock (what) VALUES ('fork')").await.unwrap();
    // What comes to be there is for the others too, whoever makes it.
    writer.batch_execute("CREATE TABLE made AS SELECT 7 AS seven").await.unwrap();
    shop.admin.batch_execute("CREATE TABLE given AS SELECT 8 AS eight").await.unwrap();
    let late = shop.grant("rights-late", &["read-only"]).await;
    let (_h, to_late) = shop.forward(&late).await;
    let late = connect(&to_late).await.unwrap();
    writer.batch_execute("CREATE TABLE then AS SELECT 9 AS nine").await.unwrap();
    for client in [&reader, &late, &writer] {
        client.batch_execute("SELECT seven, eight, nine FROM made, given, then").await.unwrap();
    }
    writer.batch_execute("INSERT INTO given VALUES (9)").await.unwrap();
    assert!(late.batch_execute("INSERT INTO made VALUES (9)").await.is_err());
}

#[tokio::test]
async fn ungranting_cuts_one_grant_and_leaves_nothing_of_it() {
    let Some(shop) = Shop::open("revoking").await else { return };
    let one = shop.grant("revoking-one", &[]).await;
    let two = shop.grant("revoking-two", &["read-only"]).await;
    let (forward, to_one) = shop.forward(&one).await;
    let (_f, to_two) = shop.forward(&two).await;
    let (by_one, by_two) = (connect(&to_one).await.unwrap(), connect(&to_two).await.unwrap());
    let script = "CREATE TABLE kept AS SELECT 1 AS one; SELECT lo_create(0)";
    by_one.batch_execute(script).await.unwrap();
    let busy = by_one.batch_execute("SELECT pg_sleep(3600)");
    let busy = async { tokio::join!(busy, async { ungrant(&shop.object, "revoking-one").await }) };
    let (cut, done) = busy.await;
    done.unwrap();
    assert!(cut.is_err());
    assert!(!shop.has_role("hob_revoking-one").await);
    assert!(connect(&to_one).await.is_err());
    until(&forward, "status", "failed", &2.into()).await;
    let why = field(&forward, "status", "last-error").await;
    assert_eq!(why.as_str(), Some("this has been revoked"));

    by_two.batch_execute("SELECT one FROM kept").await.unwrap();
    let owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'kept'";
    let owner = shop.admin.query_one(owner, &[]).await.unwrap();
    assert_eq!(owner.get::<_, &str>(0), "postgres");
    // Nobody is left, and it may be said again; also of what never was.
    let query = "SELECT FROM pg_stat_activity WHERE usename LIKE 'hob\\_revoking-one'";
    assert!(shop.admin.query(query, &[]).await.unwrap().is_empty());
    for id in ["revoking-one", "revoking-never"] {
        ungrant(&shop.object, id).await.unwrap();
    }
    // The same id again is another grant.
    let again = shop.grant("revoking-one", &["read-only"]).await;
    let (_g, to_again) = shop.forward(&again).await;
    connect(&to_again).await.unwrap().batch_execute("SELECT one FROM kept").await.unwrap();
}

async fn ungrant(object: &Ref, id: &str) -> Result<Value, Fault> {
    ask(object, "ungrant", vec![id.into()]).await
}

#[tokio::test]
async fn a_grant_is_the_same_when_it_is_asked_for_again_but_not_with_other_rules() {
    let Some(shop) = Shop::open("again").await else { return };
    let many: Vec<_> = (0..5).map(|_| grant(&shop.object, "again", &["read-only"])).collect();
    for granted in many {
        granted.await.unwrap();
    }
    let granted = shop.grant("again", &["read-only"]).await;
    let (_f, address) = shop.forward(&granted).await;
    let client = connect(&address).await.unwrap();
    grant(&shop.object, "again", &["read-only"]).await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
    for (rules, why) in [
        (&[][..], "\"again\" is granted otherwise: ungrant it first"),
        (&["count"][..], "postgres grant: a database does not keep the rule count"),
    ] {
        let refused = grant(&shop.object, "again", rules).await.unwrap_err();
        assert_eq!(refused.to_string(), why);
    }
    let Value::List(grants) = ask(&shop.object, "grants", vec![]).await.unwrap() else { panic!() };
    assert_eq!(grants.len(), 1);
    for id in ["", "a\0b", "a\nb", &"x".repeat(60)] {
        let refused = grant(&shop.object, id, &[]).await.unwrap_err();
        assert!(refused.to_string().contains("an id has 1 to 59 bytes"), "{refused}");
    }
}

#[tokio::test]
async fn names_that_would_be_sql_are_names() {
    let Some(shop) = Shop::open("na\"me's; --").await else { return };
    let id = "'; \"DROP\" TABLE stock; --\\";
    let granted = shop.grant(id, &["read-only"]).await;
    let (_f, address) = shop.forward(&granted).await;
    let client = connect(&address).await.unwrap();
    let row = client.query_one("SELECT current_user::text FROM stock", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), format!("hob_{id}"));
    ungrant(&shop.object, id).await.unwrap();
    assert!(!shop.has_role(&format!("hob_{id}")).await);
    // A role that somebody else has made is nobody's business.
    shop.admin.batch_execute("CREATE ROLE hob_theirs").await.unwrap();
    let why = "there is a role \"hob_theirs\" that this service has not made";
    assert_eq!(grant(&shop.object, "theirs", &[]).await.unwrap_err().to_string(), why);
    assert_eq!(ungrant(&shop.object, "theirs").await.unwrap_err().to_string(), why);
    ask(&shop.object, "start", vec![]).await.unwrap();
    assert!(shop.has_role("hob_theirs").await);
    shop.admin.batch_execute("DROP ROLE hob_theirs").await.unwrap();
}

#[tokio::test]
async fn much_goes_through_both_ways() {
    let Some(shop) = Shop::open("much").await else { return };
    let granted = shop.grant("much", &[]).await;
    let (_f, address) = shop.forward(&granted).await;
    let client = connect(&address).await.unwrap();
    let query = "SELECT id, repeat(md5(id::text), 30) AS text FROM generate_series(1, 20000) id";
    let rows = client.query(query, &[]).await.unwrap();
    assert_eq!(rows.len(), 20_000);
    assert!(rows.iter().all(|row| row.get::<_, &str>(1).len() == 960));
    client.batch_execute("CREATE TABLE bulk (text text)").await.unwrap();
    let texts = vec!["x".repeat(1000); 20_000];
    let inserted = client.execute("INSERT INTO bulk SELECT unnest($1::text[])", &[&texts]).await;
    assert_eq!(inserted.unwrap(), 20_000);
    let sum = client.query_one("SELECT sum(length(text)) FROM bulk", &[]).await.unwrap();
    assert_eq!(sum.get::<_, i64>(0), 20_000 * 1000);
}

#[tokio::test]
async fn one_cancels_ones_own_queries_only() {
    let Some(shop) = Shop::open("cancel").await else { return };
    let (one, two) = (shop.grant("cancel-1", &[]).await, shop.grant("cancel-2", &[]).await);
    let (_f, to_one) = shop.forward(&one).await;
    let (_g, to_two) = shop.forward(&two).await;
    let client = connect(&to_one).await.unwrap();
    let token = client.cancel_token();
    let running = || async {
        let query =
            "SELECT FROM pg_stat_activity WHERE state = 'active' AND usename = 'hob_cancel-1'";
        while shop.admin.query(query, &[]).await.unwrap().is_empty() {}
    };
    let cancel = async {
        running().await;
        // By another grant it comes to nothing: the connection just ends.
        let socket = to_two.connect().await.unwrap();
        token.cancel_query_raw(socket, NoTls).await.unwrap();
        running().await;
        let socket = to_one.connect().await.unwrap();
        token.cancel_query_raw(socket, NoTls).await.unwrap();
    };
    let (query, ()) = tokio::join!(client.batch_execute("SELECT pg_sleep(3600)"), cancel);
    assert_eq!(query.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    client.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn psql_needs_no_password_and_may_ask_for_encryption() {
    let Some(shop) = Shop::open("psql").await else { return };
    let granted = shop.grant("psql", &["read-only"]).await;
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", directory.path().join(".s.PGSQL.5432").display());
    let (forward, _) = shop.program.forward(&listen, &granted).await;
    let (_f, tcp) = shop.forward(&granted).await;
    let Address::Tcp(tcp) = tcp else { panic!() };
    let (_, port) = tcp.rsplit_once(':').unwrap();
    let unix = format!("host={} user=a dbname=b", directory.path().display());
    let tcp = format!("host=127.0.0.1 port={port} sslmode=prefer user=a dbname=b");
    for place in [unix, tcp] {
        let query = ["--no-password", "-XAtc", "SELECT what FROM stock", "-c", "DELETE FROM stock"];
        let mut command = tokio::process::Command::new("psql");
        let output = command.arg(&place).args(query).output().await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "spoon\n");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("cannot execute DELETE in a read-only transaction"), "{error}");
    }
    ungrant(&shop.object, "psql").await.unwrap();
    let place = format!("host={} user=a dbname=b", directory.path().display());
    let mut command = tokio::process::Command::new("psql");
    let output = command.arg(&place).args(["-w", "-c", "SELECT 1"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    until(&forward, "status", "failed", &1.into()).await;
}

#[tokio::test]
async fn a_grant_has_no_more_connections_than_it_may_have() {
    let Some(shop) = Shop::with("limited", |settings| {
        settings.connections = 2;
        settings.connections_in_all = 3;
        settings.grants = 2;
    })
    .await
    else {
        return;
    };
    let (one, two) = (shop.grant("limited-1", &[]).await, shop.grant("limited-2", &[]).await);
    assert!(grant(&shop.object, "limited-3", &[]).await.is_err());
    let (_f, to_one) = shop.forward(&one).await;
    let (forward, to_two) = shop.forward(&two).await;
    let mut open = vec![connect(&to_one).await.unwrap(), connect(&to_one).await.unwrap()];
    let error = connect(&to_one).await.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::TOO_MANY_CONNECTIONS));
    until(&shop.object, "describe", "open", &2.into()).await;
    open.push(connect(&to_two).await.unwrap());
    assert!(connect(&to_two).await.is_err());
    until(&forward, "status", "failed", &1.into()).await;
    let why = field(&forward, "status", "last-error").await;
    assert_eq!(why.as_str(), Some("3 connections are open already"));
}

#[tokio::test]
async fn passwords_are_nowhere_and_one_that_is_changed_does_not_matter() {
    let Some(shop) = Shop::open("secrets").await else { return };
    let granted = shop.grant("secrets", &[]).await;
    let (_f, address) = shop.forward(&granted).await;
    let client = connect(&address).await.unwrap();
    client.batch_execute("ALTER ROLE CURRENT_USER PASSWORD 'mine'").await.unwrap();
    connect(&address).await.unwrap().batch_execute("SELECT 1").await.unwrap();
    let log = shop.server.log();
    let told = log.lines().filter(|line| line.contains("PASSWORD") && line.contains("secrets"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 2, "one for each time");
    assert!(told.iter().all(|line| line.contains("'SCRAM-SHA-256$4096:")), "{told:?}");
}

#[tokio::test]
async fn grants_outlive_the_node_and_what_is_not_granted_is_removed() {
    let Some(server) = Server::get() else { return };
    let (settings, admin) = server.database("outlive").await;
    admin.batch_execute("CREATE TABLE stock AS SELECT 'spoon' AS what").await.unwrap();
    let (network, disk) = (LoopbackNetwork::new(), Memory::new());
    let service = Machine::start(&network, "service", &disk);
    let program = Machine::start(&network, "program", &Memory::new());
    let object = offered(&service, &settings).await;
    service.vat.set_root("db", &object).unwrap();
    let mut kept = Vec::new();
    for id in ["outlive-1", "outlive-2"] {
        kept.push(service.node.mint(&grant(&object, id, &["read-only"]).await.unwrap()).unwrap());
    }
    drop(object);
    service.end().await;

    // A role that was made and is in no ledger, and one that somebody has dropped.
    let mark = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles \
                WHERE rolname = 'hob_outlive-1'";
    let mark: String = admin.query_one(mark, &[]).await.unwrap().get(0);
    let script = format!(
        "CREATE ROLE \"hob_outlive-3\"; COMMENT ON ROLE \"hob_outlive-3\" IS '{mark}';
         DROP OWNED BY \"hob_outlive-2\"; DROP ROLE \"hob_outlive-2\""
    );
    admin.batch_execute(&script).await.unwrap();
    let service = Machine::start(&network, "service", &disk);
    let object = service.vat.root("db").unwrap().unwrap();
    ask(&object, "start", vec![]).await.unwrap();
    let roles = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'hob\\_outlive%' ORDER BY 1";
    let roles = admin.query(roles, &[]).await.unwrap();
    let roles: Vec<&str> = roles.iter().map(|row| row.get(0)).collect();
    assert_eq!(roles, ["hob_outlive-1", "hob_outlive-2"]);
    for sturdyref in &kept {
        let granted = program.node.enliven(sturdyref).into_ref();
        let (_f, address) = program.forward("tcp:127.0.0.1:0", &granted).await;
        let client = connect(&address).await.unwrap();
        client.batch_execute("SELECT what FROM stock").await.unwrap();
    }
}

#[tokio::test]
async fn an_administrator_need_not_be_a_superuser() {
    let Some(server) = Server::get() else { return };
    let (mut settings, admin) = server.database("owned").await;
    let script = "CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'of the owner';
                  ALTER DATABASE owned OWNER TO owner; SET ROLE owner;
                  CREATE TABLE stock AS SELECT 'spoon' AS what";
    admin.batch_execute(script).await.unwrap();
    let file = server.directory().join("owner");
    std::fs::write(&file, "of the owner\n").unwrap();
    settings.admin = "owner".to_owned();
    settings.password_file = Some(file.clone());
    let (service, program) = pair();
    let object = offered(&service, &settings).await;
    let granted = program.get(&service, &grant(&object, "owned", &[]).await.unwrap());
    let (_f, address) = program.forward("tcp:127.0.0.1:0", &granted).await;
    let client = connect(&address).await.unwrap();
    let script = "INSERT INTO stock VALUES ('fork'); CREATE TABLE made (id int)";
    client.batch_execute(script).await.unwrap();
    ungrant(&object, "owned").await.unwrap();
    assert!(client.batch_execute("SELECT 1").await.is_err());
    admin.batch_execute("SELECT * FROM made").await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let error = grant(&object, "owned-2", &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "the database's administrator can't log in");
}

#[tokio::test]
async fn a_server_that_is_down_is_told_and_a_drop_is_made_up_for() {
    let Some(shop) = Shop::open("down").await else { return };
    let directory = tempfile::tempdir().unwrap();
    // The service knows the server by a way that can be closed.
    let way = directory.path().join(".s.PGSQL.5432");
    std::os::unix::fs::symlink(shop.server.directory().join(".s.PGSQL.5432"), &way).unwrap();
    let mut settings = shop.settings.clone();
    settings.host = directory.path().to_str().unwrap().to_owned();
    let object = offered(&shop.service, &settings).await;
    let granted = grant(&object, "down", &[]).await.unwrap();
    let granted = shop.program.get(&shop.service, &granted);
    std::fs::remove_file(&way).unwrap();
    let (forward, address) = shop.forward(&granted).await;
    assert!(connect(&address).await.is_err());
    until(&forward, "status", "failed", &1.into()).await;
    let why = field(&forward, "status", "last-error").await;
    assert_eq!(why.as_str(), Some("the database can't be reached"));
    for error in
        [grant(&object, "down-2", &[]).await.map(drop), ungrant(&object, "down").await.map(drop)]
    {
        assert_eq!(error.unwrap_err().to_string(), "the database can't be reached");
    }
    assert!(shop.has_role("hob_down").await);
    std::os::unix::fs::symlink(shop.server.directory().join(".s.PGSQL.5432"), &way).unwrap();
    while shop.has_role("hob_down").await {}
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_not_passed_on() {
    let Some(shop) = Shop::open("other").await else { return };
    let granted = shop.grant("other", &[]).await;
    let (_f, address) = shop.forward(&granted).await;
    let mut socket = address.connect().await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut said).await.unwrap();
    assert!(said.is_empty());
}
