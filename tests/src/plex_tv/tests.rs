//! plex.tv asked without a socket.

use serde_json::json;

use super::*;
use crate::plex;
use crate::world::Flavor;

struct Household {
    tv: PlexTv,
    world: World,
}

fn household() -> Household {
    let world = World::new(Flavor::Plex, "Home", "home1");
    world.add_owner("anna");
    world.add_user("kim");
    world.add_user("fred");
    world.edit_user("kim", |user| user.pin = Some("1234".to_owned())).unwrap();
    world.edit_user("fred", |user| user.home = false).unwrap();
    let tv = PlexTv::new(TimeSource::real());
    tv.add_server(&world, "http://127.0.0.1:32400");
    Household { tv, world }
}

impl Household {
    fn user(&self, who: &str) -> User {
        self.world.read(|model| model.user(who).unwrap().clone())
    }

    fn ask(&self, who: &str, call: Call) -> Answer {
        let token = self.user(who).account_token;
        let call = call.with_header("x-plex-token", &token).with_header("accept", "application/json");
        self.tv.answer(&call.with_header("x-plex-client-identifier", "test"))
    }
}

#[test]
fn a_client_must_say_who_it_is_and_have_a_token() {
    let home = household();
    let call = Call::get("/api/v2/user").with_header("accept", "application/json");
    assert_eq!(home.tv.answer(&call).value()["errors"][0]["code"], 1000);
    let call = call.with_header("x-plex-client-identifier", "test");
    let refused = home.tv.answer(&call);
    assert_eq!((refused.status, &refused.value()["errors"][0]["code"]), (StatusCode::UNAUTHORIZED, &json!(1001)));
}

#[test]
fn switching_to_a_home_user_with_a_pin_needs_the_pin_and_leads_to_a_token_for_the_server() {
    let home = household();
    let kim = home.user("kim");
    let path = format!("/api/v2/home/users/{}/switch", kim.uuid);
    assert_eq!(home.ask("anna", Call::post(&path)).status, StatusCode::FORBIDDEN);
    assert_eq!(home.ask("anna", Call::post(&format!("{path}?pin=9999"))).status, StatusCode::FORBIDDEN);
    let switched = home.ask("anna", Call::post(&format!("{path}?pin=1234")));
    assert_eq!(switched.status, StatusCode::CREATED);
    assert_eq!(switched.value()["authToken"], kim.account_token);
    let resources = home.ask("kim", Call::get("/api/v2/resources?includeHttps=1")).value();
    let token = resources[0]["accessToken"].as_str().unwrap().to_owned();
    let call = Call::get("/library/sections").with_header("x-plex-token", &token);
    assert_eq!(plex::answer(&home.world, &call).status, StatusCode::OK);
}

#[test]
fn a_home_lists_its_members_and_not_the_friends() {
    let home = household();
    let users = home.ask("anna", Call::get("/api/v2/home/users")).value();
    let names: Vec<_> = users["users"].as_array().unwrap().iter().map(|user| user["title"].clone()).collect();
    assert_eq!(names, ["anna", "kim"]);
    assert_eq!(users["users"][1]["protected"], true);
    let all = home.ask("anna", Call::get("/api/users/"));
    assert!(all.text().contains("title=\"fred\"") && all.text().contains("title=\"kim\""), "{}", all.text());
    let friend = home.ask("fred", Call::get("/api/v2/home/users")).value();
    assert_eq!(friend["users"][0]["title"], "fred", "a friend has a home of their own");
}

#[test]
fn only_the_owner_learns_the_tokens_of_others() {
    let home = household();
    let path = "/api/servers/home1/shared_servers";
    let shared = home.ask("anna", Call::get(path));
    assert!(shared.text().contains(&format!("accessToken=\"{}\"", home.user("fred").tokens[0])));
    assert_eq!(home.ask("fred", Call::get(path)).status, StatusCode::NOT_FOUND);
}

#[test]
fn a_pin_becomes_a_token_when_somebody_types_in_its_code() {
    let home = household();
    let pin = home.ask("anna", Call::post("/api/v2/pins?strong=true")).value();
    let page = format!("/api/v2/pins/{}", pin["id"]);
    assert_eq!(home.ask("anna", Call::get(&page)).value()["authToken"], Value::Null);
    assert!(home.tv.claim_pin(pin["code"].as_str().unwrap(), "fred"));
    assert_eq!(home.ask("anna", Call::get(&page)).value()["authToken"], home.user("fred").account_token);
}

#[tokio::test]
async fn webhooks_are_replaced_as_a_whole_and_belong_to_plex_pass() {
    let home = household();
    let mut call = Call::post("/api/v2/user/webhooks").with_header("content-type", "application/x-www-form-urlencoded");
    call.body = bytes::Bytes::from_static(b"urls%5B%5D=http%3A%2F%2Fa.test%2F1&urls%5B%5D=http%3A%2F%2Fa.test%2F2");
    assert_eq!(home.ask("anna", call).status, StatusCode::CREATED);
    assert_eq!(home.tv.webhooks("anna"), ["http://a.test/1", "http://a.test/2"]);
    assert_eq!(home.ask("fred", Call::get("/api/v2/user/webhooks")).value(), json!([]));
    home.tv.end_plex_pass();
    assert_eq!(home.ask("anna", Call::get("/api/v2/user/webhooks")).status, StatusCode::FORBIDDEN);
}
