//! Which of a server's accounts a person's is.

use watchstate_servers::Account;

/// The account that is meant: by id, else by name however it is capitalised; for the token's own account the one that the token belongs to, else
/// the only one, else the only administrator (API keys belong to nobody).
///
/// # Errors
/// One sentence with the accounts that are there.
pub fn find<'a>(server: &str, person: &str, configured: &str, there: &'a [Account]) -> Result<&'a Account, String> {
    let names = || there.iter().map(|account| account.name.as_str()).collect::<Vec<_>>().join(", ");
    let only = |accounts: Vec<&'a Account>| match accounts[..] {
        [one] => Some(one),
        _ => None,
    };
    let wanted = configured.trim();
    if wanted.is_empty() {
        return there
            .iter()
            .find(|account| account.own)
            .or_else(|| only(there.iter().collect()))
            .or_else(|| only(there.iter().filter(|account| account.admin).collect()))
            .ok_or_else(|| {
                format!(
                    "server {server}: the token belongs to no single account; name the account of {person} under users (accounts there: {})",
                    names()
                )
            });
    }
    there
        .iter()
        .find(|account| account.id == wanted)
        .or_else(|| {
            only(there.iter().filter(|account| account.name.trim().to_lowercase() == wanted.to_lowercase()).collect())
        })
        .ok_or_else(|| {
            format!("server {server}: there is no account {wanted:?} for {person} (accounts there: {})", names())
        })
}

/// Whether an account that was found before, with this id and name, is the one that is meant now: for when nobody tells which accounts there are.
pub fn is_meant(configured: &str, id: Option<&str>, name: Option<&str>) -> bool {
    let wanted = configured.trim().to_lowercase();
    !wanted.is_empty() && [id, name].into_iter().flatten().any(|word| word.trim().to_lowercase() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(id: &str, name: &str, admin: bool, own: bool) -> Account {
        Account { id: id.into(), name: name.into(), admin, own }
    }

    #[test]
    fn an_account_is_found_by_id_then_by_name_and_the_tokens_own_without_either() {
        let two = [there("1", "Anna", true, true), there("2", "Ben", false, false)];
        let key = [there("1", "Anna", true, false), there("2", "Ben", false, false)];
        let nobody = [there("1", "Anna", true, false), there("2", "Ben", true, false)];
        let twins = [there("1", "Sam", false, false), there("2", "sam", false, false)];
        let cases: [(&str, &[Account], Option<&str>); 9] = [
            ("", &two, Some("1")),
            ("2", &two, Some("2")),
            (" ben ", &two, Some("2")),
            ("carl", &two, None),
            ("", &key, Some("1")),
            ("", &key[1..], Some("2")),
            ("", &nobody, None),
            ("SAM", &twins, None),
            ("2", &twins, Some("2")),
        ];
        for (configured, accounts, expected) in cases {
            let found = find("s", "anna", configured, accounts);
            assert_eq!(found.as_ref().ok().map(|account| account.id.as_str()), expected, "{configured:?} {found:?}");
        }
    }
}
