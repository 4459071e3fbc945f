//! Who watches where: the persons that a server names, or the one person of the household where it names none.

use std::collections::BTreeSet;

/// The person of a household in which nobody has a name.
pub const NAMELESS: &str = "me";

/// Persons at a server, each with the account as configured; an empty account is the token's own.
pub type Users = Vec<(String, String)>;

/// Who watches at each of `servers` (a name and the users that its resource names). `kept` are the users of registered servers that aren't
/// among them: they belong to the household too.
///
/// # Errors
/// One sentence a server whose account could be several persons'.
pub fn settle(servers: &[(&str, Users)], kept: &[Users]) -> Vec<Result<Users, String>> {
    let persons = persons(servers.iter().map(|(_, users)| users).chain(kept));
    servers
        .iter()
        .map(|(server, users)| {
            if !users.is_empty() {
                return Ok(users.clone());
            }
            let mut all = persons.iter();
            match (all.next(), all.next()) {
                (None, _) => Ok(vec![(NAMELESS.to_owned(), String::new())]),
                (Some(person), None) => Ok(vec![((*person).to_owned(), String::new())]),
                _ => {
                    let persons: Vec<&str> = persons.iter().copied().collect();
                    Err(format!(
                        "MediaServer {server} names no users, and the household has several persons ({}): say whose account the token is",
                        persons.join(", ")
                    ))
                }
            }
        })
        .collect()
}

/// Persons that are told apart by capitals only: a slip of the hand as a rule, after which one's plays don't reach the other.
pub fn twins<'a>(users: impl IntoIterator<Item = &'a Users>) -> Vec<(&'a str, &'a str)> {
    let persons: Vec<&str> = persons(users).into_iter().collect();
    let mut twins = Vec::new();
    for (index, one) in persons.iter().enumerate() {
        let alike = persons[index + 1..].iter().filter(|other| one.to_lowercase() == other.to_lowercase());
        twins.extend(alike.map(|other| (*one, *other)));
    }
    twins
}

/// All persons, by name.
pub fn persons<'a>(users: impl IntoIterator<Item = &'a Users>) -> BTreeSet<&'a str> {
    users.into_iter().flatten().map(|(person, _)| person.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `anna=Anna ben=` → pairs.
    fn users(text: &str) -> Users {
        text.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(p, a)| (p.to_owned(), a.to_owned()))
            .collect()
    }

    #[test]
    fn a_token_belongs_to_the_one_person_of_the_household() {
        // What the files' servers name, what registered servers have, who is found at each of the files' servers.
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [Option<&'a str>]);
        let cases: [Case<'_>; 10] = [
            (&[""], &[], &[Some("me=")]),
            (&["", ""], &[], &[Some("me="), Some("me=")]),
            (&["", "anna=Anna"], &[], &[Some("anna="), Some("anna=Anna")]),
            (&["anna=A", "anna=B", ""], &[], &[Some("anna=A"), Some("anna=B"), Some("anna=")]),
            (&["", "anna=A ben=B"], &[], &[None, Some("anna=A ben=B")]),
            (&["anna=A", "ben=B", "", ""], &[], &[Some("anna=A"), Some("ben=B"), None, None]),
            (&[""], &["anna=A"], &[Some("anna=")]),
            (&[""], &["me="], &[Some("me=")]),
            (&["", "anna=A"], &["me="], &[None, Some("anna=A")]),
            (&["anna=A"], &["me="], &[Some("anna=A")]),
        ];
        for (servers, kept, expected) in cases {
            let servers: Vec<(&str, Users)> = servers.iter().map(|text| ("plex", users(text))).collect();
            let kept: Vec<Users> = kept.iter().map(|text| users(text)).collect();
            let found: Vec<Option<Users>> = settle(&servers, &kept).into_iter().map(Result::ok).collect();
            let expected: Vec<Option<Users>> = expected.iter().map(|text| text.map(users)).collect();
            assert_eq!(found, expected, "{servers:?} {kept:?}");
        }
    }

    #[test]
    fn a_token_that_could_be_several_persons_is_asked_about_by_name() {
        let found = settle(&[("plex", Users::new())], &[users("ben=B anna=A")]).remove(0);
        assert_eq!(
            found.unwrap_err(),
            "MediaServer plex names no users, and the household has several persons (anna, ben): say whose account the token is"
        );
    }

    #[test]
    fn persons_that_differ_by_capitals_only_are_noticed() {
        assert_eq!(twins(&[users("anna=1 ben=2"), users("Anna=1 carl=2")]), [("Anna", "anna")]);
        assert_eq!(twins(&[users("anna=1 ben=2"), users("anna=3")]), []);
    }
}
