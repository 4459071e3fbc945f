"""jellyfin-apiclient-python, of the Kodi add-on and mpv-shim: lower-case paths, old routes under /Users/{id}."""

from jellyfin_apiclient_python import JellyfinClient

from checks import Checks, equal

judge = Checks("jellyfin-apiclient-python")
server = judge.server
person = (server.others() or [server.admin()])[0]
client = JellyfinClient()
client.config.app("Judge", "1.0", "Judge", "judge")
client.config.data["auth.ssl"] = False
api = client.jellyfin


@judge.that("the client connects and a person logs in")
def _():
    client.auth.connect_to_address(server.url)
    result = client.auth.login(server.url, person["name"], person["password"])
    equal(result["User"]["Name"], person["name"])
    equal(result["ServerId"], server.server_id)
    state = client.authenticate(client.auth.credentials.get_credentials(), discover=False)
    equal(state["Servers"][0]["Id"], server.server_id)


@judge.that("a wrong password is refused")
def _():
    equal(client.auth.API.login(server.url, person["name"], "wrong", client.auth.session), {})


@judge.that("libraries are listed")
def _():
    global films, shows
    views = api.get_views()["Items"]
    films = next(view for view in views if view.get("CollectionType") == "movies")
    shows = next(view for view in views if view.get("CollectionType") == "tvshows")
    assert {films["Id"], shows["Id"]} <= {view["Id"] for view in api.get_media_folders()["Items"]}


@judge.that("films come with ids")
def _():
    global film
    page = api.user_items(params={
        "ParentId": films["Id"], "Recursive": True, "IncludeItemTypes": "Movie", "Fields": "ProviderIds,Path",
    })
    equal(page["TotalRecordCount"], len(page["Items"]))
    film = next(one for one in page["Items"] if one["ProviderIds"].get("Imdb") and not one["UserData"]["Played"])
    equal(api.get_item(film["Id"])["Name"], film["Name"])
    equal([one["Id"] for one in api.get_items([film["Id"]])["Items"]], [film["Id"]])


@judge.that("a film is marked as played, at a date, and as unplayed")
def _():
    data = api.item_played(film["Id"], True, date="2024-02-03T04:05:06Z")
    equal((data["Played"], data["LastPlayedDate"][:19]), (True, "2024-02-03T04:05:06"))
    equal(api.get_item(film["Id"])["UserData"]["Played"], True)
    data = api.item_played(film["Id"], False)
    equal((data["Played"], data["PlayCount"], data.get("LastPlayedDate")), (False, 0, None))


@judge.that("a position is set and read back")
def _():
    position = film["RunTimeTicks"] // 3
    api.update_userdata_for_item(film["Id"], {"PlaybackPositionTicks": position})
    equal(api.get_userdata_for_item(film["Id"])["PlaybackPositionTicks"], position)
    api.item_played(film["Id"], False)


@judge.that("seasons and episodes are listed")
def _():
    page = api.user_items(params={"ParentId": shows["Id"], "Recursive": True, "IncludeItemTypes": "Series"})
    show = next(one for one in page["Items"] if one["UserData"]["UnplayedItemCount"] > 1)
    assert api.get_seasons(show["Id"])["Items"]
    episodes = api.shows(f"/{show['Id']}/Episodes", {"UserId": "{UserId}", "Fields": "ProviderIds"})["Items"]
    assert episodes and all(one["SeriesId"] == show["Id"] for one in episodes)


@judge.that("a playback is reported from start to end")
def _():
    told = {"ItemId": film["Id"], "MediaSourceId": film["Id"], "PlaySessionId": "judge", "PositionTicks": 0}
    api.session_playing(told)
    assert any(one.get("NowPlayingItem", {}).get("Id") == film["Id"] for one in api.sessions())
    api.session_progress({**told, "PositionTicks": film["RunTimeTicks"] // 2})
    api.session_stop({**told, "PositionTicks": film["RunTimeTicks"] * 95 // 100})
    data = api.get_item(film["Id"])["UserData"]
    equal((data["Played"], data["PlaybackPositionTicks"]), (True, 0))
    api.item_played(film["Id"], False)


client.stop()
judge.done()
