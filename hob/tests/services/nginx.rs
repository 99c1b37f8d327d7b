//! Carol's web servers in earnest: a machine is a network namespace, and has an nginx.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::pasture::Pasture;

/// Namespaces with a bridge between them, which go away with this.
struct Network {
    mark: String,
}

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Network {
    fn new(machines: &[&str]) -> Self {
        let this = Self { mark: format!("hob-nginx{}", std::process::id()) };
        let switch = this.namespace("switch");
        ip(&format!("netns add {switch}"));
        ip(&format!("-n {switch} link add bridge type bridge"));
        ip(&format!("-n {switch} link set bridge up"));
        for (index, machine) in machines.iter().enumerate() {
            let namespace = this.namespace(machine);
            ip(&format!("netns add {namespace}"));
            ip(&format!(
                "-n {switch} link add port-{machine} type veth peer name eth0 netns {namespace}"
            ));
            ip(&format!("-n {switch} link set port-{machine} master bridge up"));
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} addr add {}/24 dev eth0", address(index)));
            ip(&format!("-n {namespace} link set eth0 up"));
        }
        this
    }

    fn namespace(&self, machine: &str) -> String {
        format!("{}-{machine}", self.mark)
    }

    /// Cuts a machine off, or plugs it in again.
    fn set(&self, machine: &str, state: &str) {
        ip(&format!("-n {} link set port-{machine} {state}", self.namespace("switch")));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            let name = name.file_name().into_string().unwrap_or_default();
            if name.starts_with(&self.mark) {
                let _gone = Command::new("ip").args(["netns", "del", &name]).status();
            }
        }
    }
}

fn address(index: usize) -> String {
    format!("10.186.7.{}", index + 1)
}

const SERVERS: &str = r#"
[service.networking]
autostart = false

[service.web-server]
command = ["/usr/sbin/nginx", "-c", "PLACE/nginx.conf", "-e", "PLACE/error.log"]
requires = ["networking"]
ready = { port = "ADDRESS:80" }
autostart = false
"#;

const NGINX: &str = "
daemon off;
user root;
pid PLACE/nginx.pid;
worker_processes 1;
events {}
http {
    access_log off;
    client_body_temp_path PLACE/body;
    proxy_temp_path PLACE/proxy;
    fastcgi_temp_path PLACE/fastcgi;
    uwsgi_temp_path PLACE/uwsgi;
    scgi_temp_path PLACE/scgi;
    server { listen ADDRESS:80; location / { return 200 'MACHINE'; } }
}
";

/// A machine with nginx.
fn server(network: &Network, machine: &str, index: usize) -> Pasture {
    let namespace = network.namespace(machine);
    let listen = format!("tcp-tls:{}:0", address(index));
    let definitions = SERVERS.replace("ADDRESS", &address(index));
    let pasture = Pasture::with(&definitions, Some(&namespace), &["--listen", &listen]);
    let directory = pasture.place.path("");
    let text = NGINX.replace("ADDRESS", &address(index)).replace("MACHINE", machine);
    let text = text.replace("PLACE", directory.to_str().unwrap().trim_end_matches('/'));
    pasture.place.write("nginx.conf", 0o600, &text);
    pasture.says("grant web-server --actions status,start,stop,restart --over tcp-tls -o web.cap");
    pasture
}

/// Asks for pages, from the third machine, for as long as its input is open: of one
/// server, and if that gives none, of the other, as those do who have two. Says after each
/// what came of it.
const VISITOR: &str = r#"
import itertools, select, sys, urllib.request
urls = ["http://%s/" % address for address in sys.argv[1:]]
def visit(url):
    try:
        return urllib.request.urlopen(url, timeout=5).read().decode()
    except OSError:
        return None
for turn in itertools.count():
    pages = (visit(url) for url in (urls[turn % 2:] + urls[:turn % 2]) * 2)
    print(next((page for page in pages if page), "nothing"), flush=True)
    if select.select([sys.stdin], [], [], 0)[0]:
        break
"#;

struct Visitor(Child);

impl Visitor {
    fn new(network: &Network) -> Self {
        let namespace = network.namespace("c");
        let (a, b) = (address(0), address(1));
        let words = ["netns", "exec", &namespace, "python3", "-c", VISITOR, &a, &b];
        let mut command = Command::new("ip");
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// All that came of it.
    fn end(mut self) -> Vec<String> {
        drop(self.0.stdin.take());
        let out = BufReader::new(self.0.stdout.take().unwrap());
        let pages = out.lines().map(Result::unwrap).collect();
        assert!(self.0.wait().unwrap().success());
        pages
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn missing() -> Option<&'static str> {
    let has = |program: &str, argument: &str| {
        Command::new(program).arg(argument).output().is_ok_and(|done| done.status.success())
    };
    if !rustix::process::geteuid().is_root() || !has("ip", "-V") {
        return Some("this needs root and iproute2");
    }
    if !has("/usr/sbin/nginx", "-v") || !has("python3", "--version") {
        return Some("this needs nginx and python3");
    }
    None
}

#[test]
fn web_servers_on_two_machines_are_rolled_from_a_third() {
    if let Some(missing) = missing() {
        println!("skipped: {missing}");
        return;
    }
    let network = Network::new(&["a", "b", "c"]);
    let (a, b) = (server(&network, "a", 0), server(&network, "b", 1));
    let definitions = format!(
        "[service.web-server-a]\nremote = \"{}\"\nmachine = \"A\"\n\
         [service.web-server-b]\nremote = \"{}\"\nmachine = \"B\"\n\
         [service.web-server-fleet]\nautostart = false\n\
         requires = [\"web-server-a\", \"web-server-b\"]\n",
        a.place.path("web.cap").display(),
        b.place.path("web.cap").display(),
    );
    let namespace = network.namespace("c");
    let c = Pasture::with(&definitions, Some(&namespace), &["--machine", "C"]);
    let said = c.says("start web-server-fleet");
    assert_eq!(said.lines().count(), 7, "{said}");
    assert!(said.ends_with("C: Service web-server-fleet has been started.\n"), "{said}");
    let both = |network: &Network| {
        let mut visitor = Visitor::new(network);
        let out = BufReader::new(visitor.0.stdout.as_mut().unwrap());
        out.lines().take(2).map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(both(&network), ["a", "b"]);

    let visitor = Visitor::new(&network);
    let pids = [a.pid("web-server"), b.pid("web-server")];
    for _ in 0..3 {
        let said = c.says("restart web-server-fleet --rolling");
        assert!(said.ends_with("Restarted: web-server-a web-server-b\n"), "{said}");
    }
    let pages = visitor.end();
    assert!(pages.len() > 1 && !pages.contains(&"nothing".to_owned()), "{pages:?}");
    assert!(pids[0] != a.pid("web-server") && pids[1] != b.pid("web-server"));

    // Nothing tells C that the cable is out, but that nothing comes any more.
    network.set("a", "down");
    c.until("C misses A", |c| c.json("web-server-a")["remote"]["reachable"] == false);
    assert_eq!(a.json("web-server")["state"], "running");
    let (code, error) = c.fails("start web-server-a");
    assert!(code == 5 && error.contains("machine A is unreachable"), "{code} {error}");
    network.set("a", "up");
    c.until("A is back", |c| c.json("web-server-a")["remote"]["reachable"] == true);
    assert_eq!(
        c.says("start web-server-fleet"),
        "C: Service web-server-fleet is already running.\n"
    );

    c.says("stop web-server-fleet");
    assert_eq!(
        (a.json("web-server")["state"].as_str(), b.json("web-server")["state"].as_str()),
        (Some("stopped"), Some("stopped"))
    );
    assert_eq!(both(&network), ["nothing", "nothing"]);
}
