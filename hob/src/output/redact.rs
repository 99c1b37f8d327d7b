//! Secrets, as they are shown: not.

use ocapn::Sturdyref;

/// What stands for a secret.
pub(crate) const HIDDEN: &str = "(hidden)";

/// A text of the config file under its key, unless it is a secret: by the name of the
/// key, or because it is a sturdyref or an address with a password.
pub(crate) fn setting(key: &str, text: &str) -> String {
    let key = key.to_lowercase().replace('-', "_");
    let secret = ["token", "secret", "password", "passphrase", "api_key", "private_key"];
    // A file with the secret is no secret, whether or not the key says so.
    if secret.iter().any(|name| key.ends_with(name)) && !text.starts_with('/') {
        return HIDDEN.to_owned();
    }
    if text.trim_start().starts_with("ocapn://") {
        let parsed: Result<Sturdyref, _> = text.trim().parse();
        return parsed.map_or(HIDDEN.to_owned(), |sturdyref| sturdyref.redacted().to_string());
    }
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
        Some((Some((user, _)), host)) => {
            let path = rest.get(authority.len()..).unwrap_or_default();
            format!("{scheme}://{user}:{HIDDEN}@{host}{path}")
        }
        _ => text.to_owned(),
    }
}

/// The same for a whole table, however deep.
pub(crate) fn table(table: &toml::Table) -> toml::Table {
    let entry = |(key, value): (&String, &toml::Value)| (key.clone(), value_of(key, value));
    table.iter().map(entry).collect()
}

fn value_of(key: &str, value: &toml::Value) -> toml::Value {
    match value {
        toml::Value::String(text) => setting(key, text).into(),
        toml::Value::Array(values) => {
            toml::Value::Array(values.iter().map(|value| value_of(key, value)).collect())
        }
        toml::Value::Table(inner) => table(inner).into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (key, text, shown) in [
            ("hosts", "root@10.0.0.5", "root@10.0.0.5"),
            ("token", "abc", "(hidden)"),
            ("api-key", "abc", "(hidden)"),
            ("token", "/etc/hob/token", "/etc/hob/token"),
            ("token-file", "token.txt", "token.txt"),
            ("url", "https://api.example/v4", "https://api.example/v4"),
            ("url", "postgres://a:b@h:5432/d?x=y@z", "postgres://a:(hidden)@h:5432/d?x=y@z"),
            ("url", "ssh://root@host/", "ssh://root@host/"),
            ("x", "ocapn://broken", "(hidden)"),
        ] {
            assert_eq!(setting(key, text), shown, "{key}");
        }
        let text = "env = [{ password = \"x\" }]\nlist = [\"http://u:p@h\"]\n";
        let shown = table(&text.parse().unwrap()).to_string();
        assert_eq!(shown, "list = [\"http://u:(hidden)@h\"]\n\n[[env]]\npassword = \"(hidden)\"\n");
    }

    #[test]
    fn sturdyrefs_are_shortened() {
        let uri = "ocapn://ada.tcp-testing-only/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
        assert!(!setting("x", uri).contains("BgcICQoL"), "{}", setting("x", uri));
    }
}
