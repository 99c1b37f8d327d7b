//! With the real apt: a tiny package comes and goes.

use serde_json::json;

use super::*;

/// Small, without dependencies of its own, and nobody has it by accident.
const TINY: &str = "hello";

/// Removes the package when the test is over, also if it fails.
struct Removed(Packages);

impl Drop for Removed {
    fn drop(&mut self) {
        if let Err(error) = self.0.apply(&DesiredState::default(), &quiet) {
            println!("{TINY} is left on this machine: {error}");
        }
    }
}

#[test]
fn a_package_of_the_real_apt_comes_and_goes() {
    let skip = |why: &str| println!("skipped: a package of the real apt: {why}");
    if !rustix::process::geteuid().is_root() {
        return skip("only root can install packages");
    }
    let defaults = PackagesSettings::default();
    if ![&defaults.apt_get, &defaults.dpkg_query, &defaults.dpkg].iter().all(|path| path.is_file())
    {
        return skip("apt is not here");
    }
    let sandbox = Sandbox::new();
    let mut guard = Removed(Packages::open(&sandbox.path("state"), defaults).unwrap());
    let packages = &mut guard.0;
    let wanted = state(json!({"packages": [TINY]}));
    if packages.diff(&wanted).unwrap().is_empty() {
        return skip("somebody has installed it already");
    }
    if let Err(error) = packages.apply(&wanted, &quiet) {
        return skip(&error.to_string());
    }
    assert!(Path::new("/usr/bin").join(TINY).is_file());
    assert_eq!(packages.diff(&wanted).unwrap(), []);
    let facts = packages.facts().unwrap();
    assert_eq!(facts["packages.owned"], "1");
    assert!(facts["packages.installed"].parse::<u32>().unwrap() > 10);
    assert_eq!(applied(packages, &DesiredState::default()), [format!("packages: removed {TINY}")]);
    assert!(!Path::new("/usr/bin").join(TINY).exists());
}
