//! Users and groups by name, from `/etc/passwd` and `/etc/group`.

use std::fs;

use super::definition::Definition;
use super::helper::Ids;

/// Whom a service is to run as, if its definition says.
pub(crate) fn ids(definition: &Definition) -> Result<Option<Ids>, String> {
    let Some(user) = &definition.user else {
        return match definition.group {
            Some(_) => Err("a group needs a user".to_owned()),
            None => Ok(None),
        };
    };
    let users = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let found = entry(&users, user);
    let number = user.parse().ok();
    let id = number.or_else(|| found.as_ref()?.get(2)?.parse().ok());
    let id: u32 = id.ok_or_else(|| format!("there is no user {user}"))?;
    let group = match &definition.group {
        None => found.as_ref().and_then(|found| found.get(3)?.parse().ok()).unwrap_or(id),
        Some(group) => {
            let groups = fs::read_to_string("/etc/group").map_err(|error| error.to_string())?;
            let found = entry(&groups, group);
            let id = group.parse().ok().or_else(|| found?.get(2)?.parse().ok());
            id.ok_or_else(|| format!("there is no group {group}"))?
        }
    };
    Ok(Some(Ids { user: id, group }))
}

/// The number of a user.
pub(crate) fn user(name: &str) -> Result<u32, String> {
    let definition = Definition { user: Some(name.to_owned()), ..Definition::default() };
    let ids = ids(&definition)?;
    ids.map(|ids| ids.user).ok_or_else(|| format!("there is no user {name}"))
}

fn entry<'f>(file: &'f str, name: &str) -> Option<Vec<&'f str>> {
    let entries = file.lines().map(|line| line.split(':').collect::<Vec<_>>());
    entries.into_iter().find(|fields| fields.first() == Some(&name) || fields.get(2) == Some(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(user: &str, group: Option<&str>) -> Result<Option<Ids>, String> {
        let definition = Definition {
            user: Some(user.to_owned()),
            group: group.map(str::to_owned),
            ..Definition::default()
        };
        ids(&definition)
    }

    #[test]
    fn by_name_and_by_number() {
        let root = Ids { user: 0, group: 0 };
        assert_eq!(of("root", None), Ok(Some(root)));
        assert_eq!(of("0", Some("root")), Ok(Some(root)));
        assert_eq!(of("54321", None), Ok(Some(Ids { user: 54321, group: 54321 })));
        assert!(of("nobody-of-that-name", None).is_err());
        assert_eq!(ids(&Definition::default()), Ok(None));
    }
}
