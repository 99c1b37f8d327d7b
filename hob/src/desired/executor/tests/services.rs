//! Services, with a script that stands in for systemctl.

use serde_json::json;

use super::*;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for unit in ["web", "db", "old"] {
        fs::create_dir_all(sandbox.path(&format!("units/{unit}.service"))).unwrap();
    }
    sandbox.write("units/old.service/active", "");
    sandbox.write("units/old.service/enabled", "");
    sandbox
}

#[test]
fn services_start_and_stop_and_come_back_to_what_they_were() {
    let sandbox = sandbox();
    let mut services = sandbox.services();
    let wanted = state(json!({"services": {"web": "running", "old": "stopped"}}));
    assert_eq!(
        drift(&services, &wanted),
        ["services old: active instead of stopped", "services web: inactive instead of running"]
    );
    assert_eq!(
        applied(&mut services, &wanted),
        ["services: old is stopped", "services: web is running"]
    );
    assert_eq!(
        sandbox.log(),
        ["disable old.service", "stop old.service", "enable web.service", "start web.service"]
    );
    sandbox.write("units/old.service/enabled", "");
    assert_eq!(drift(&services, &wanted), ["services old: enabled instead of disabled"]);
    let mut services = sandbox.services();
    applied(&mut services, &DesiredState::default());
    assert_eq!(sandbox.log(), ["start old.service", "disable web.service", "stop web.service"]);
}

#[test]
fn services_are_restarted_for_files_that_change() {
    let sandbox = sandbox();
    let mut services = sandbox.services();
    let wanted = |content: &str| {
        state(json!({
            "files": {"/etc/web": {"content": content}},
            "services": {"web": {"state": "running", "restart-on": ["/etc/web"]}},
        }))
    };
    applied(&mut services, &wanted("one"));
    assert_eq!(sandbox.log(), ["enable web.service", "start web.service"]);
    assert_eq!(
        drift(&services, &wanted("two")),
        ["services web: started with former files instead of started with the present files"]
    );
    applied(&mut services, &wanted("two"));
    assert_eq!(sandbox.log(), ["restart web.service"]);
}

#[test]
fn what_systemd_does_not_know_or_start_is_said() {
    let sandbox = sandbox();
    sandbox.write("units/db.service/broken", "");
    let mut services = sandbox.services();
    let mut refused = |name: &str| {
        let wanted = state(json!({"services": {name: "running"}}));
        services.apply(&wanted, &quiet).unwrap_err().to_string()
    };
    assert_eq!(
        refused("db"),
        "services db: systemctl start: exit code 1: Job for db.service failed."
    );
    assert_eq!(refused("nil"), "services nil: systemd knows no such service");
}

#[test]
fn where_systemd_does_not_run_services_are_refused() {
    let sandbox = sandbox();
    let settings = ServicesSettings {
        systemctl: sandbox.program("systemctl.sh", "systemctl"),
        booted: sandbox.path("nowhere"),
        ..ServicesSettings::default()
    };
    let mut services = Services::open(&sandbox.path("state"), settings).unwrap();
    // Whoever wants none is not bothered.
    applied(&mut services, &DesiredState::default());
    let wanted = state(json!({"services": {"web": "running"}}));
    let error = services.apply(&wanted, &quiet).unwrap_err().to_string();
    assert!(error.starts_with("services systemd: systemd does not run this machine"), "{error}");
    assert_eq!(services.diff(&wanted).unwrap_err().to_string(), error);
    assert_eq!(services.facts().unwrap()["services.systemd"], "absent");
}
