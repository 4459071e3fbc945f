"""embyclient is Emby's official client for Python, made from its specification."""

from datetime import datetime, timezone

import emby_client as emby
from emby_client.rest import ApiException

from checks import Checks, equal, raises

judge = Checks("embyclient")
server = judge.server
person = (server.others() or [server.admin()])[0]
user_id = person["id"]
HEADER = 'Emby Client="Judge", Device="Judge", DeviceId="judge", Version="1.0"'


def client(token=None):
    configuration = emby.Configuration()
    configuration.host = f"{server.url}/emby"
    # A dictionary of its own: configurations are shallow copies of one another.
    configuration.api_key = {"api_key": token} if token else {}
    return emby.ApiClient(configuration)


key = client(server.token)
items = emby.ItemsServiceApi(key)
library = emby.UserLibraryServiceApi(key)
playstate = emby.PlaystateServiceApi(key)


def read(**query):
    return items.get_users_by_userid_items(user_id, recursive=True, **query)


@judge.that("the server tells its name, id and version")
def _():
    info = emby.SystemServiceApi(client()).get_system_info_public()
    equal(info.id, server.server_id)
    assert info.version.startswith("4."), info.version
    equal(emby.SystemServiceApi(key).get_system_info().id, server.server_id)


@judge.that("a wrong token is refused")
def _():
    equal(raises(ApiException, lambda: emby.SystemServiceApi(client("wrong")).get_system_info()).status, 401)


@judge.that("users are listed")
def _():
    page = emby.UserServiceApi(key).get_users_query()
    equal({user.name for user in page.items}, {user["name"] for user in server.users})
    equal(page.total_record_count, len(server.users))
    one = emby.UserServiceApi(key).get_users_by_id(user_id)
    equal((one.name, one.policy.is_administrator, one.policy.is_disabled), (person["name"], person["admin"], False))


@judge.that("a person logs in, a wrong password is refused")
def _():
    api = emby.UserServiceApi(client())
    body = emby.AuthenticateUserByName(username=person["name"], pw=person["password"])
    result = api.post_users_authenticatebyname(body, HEADER)
    equal((result.user.id, result.server_id), (user_id, server.server_id))
    assert result.access_token
    equal(emby.UserServiceApi(client(result.access_token)).get_users_by_id(user_id).name, person["name"])
    body = emby.AuthenticateUserByName(username=person["name"], pw="wrong")
    equal(raises(ApiException, lambda: api.post_users_authenticatebyname(body, HEADER)).status, 401)


@judge.that("libraries are listed")
def _():
    global films, shows
    views = emby.UserViewsServiceApi(key).get_users_by_userid_views(user_id, True)
    films = next(view for view in views.items if view.collection_type == "movies")
    shows = next(view for view in views.items if view.collection_type == "tvshows")


@judge.that("films come with ids, path and date")
def _():
    global film
    page = read(parent_id=films.id, include_item_types="Movie", fields="ProviderIds,Path,DateCreated,MediaSources")
    equal(page.total_record_count, len(page.items))
    film = next(
        one for one in page.items
        if any(name.lower() == "imdb" for name in one.provider_ids) and not one.user_data.played
    )
    assert film.path.startswith("/") and film.run_time_ticks > 0 and film.date_created
    assert film.id.isdigit(), film.id
    equal(library.get_users_by_userid_items_by_id(user_id, film.id).name, film.name)


@judge.that("pages are cut and counted")
def _():
    total = read(parent_id=films.id, include_item_types="Movie").total_record_count
    page = read(parent_id=films.id, include_item_types="Movie", start_index=1, limit=2)
    equal((len(page.items), page.total_record_count), (2, total))


@judge.that("a film is marked as played at a date in Emby's format")
def _():
    data = playstate.post_users_by_userid_playeditems_by_id(user_id, film.id, date_played="20230708213000")
    when = datetime(2023, 7, 8, 21, 30, tzinfo=timezone.utc)
    equal((data.played, data.play_count, data.last_played_date), (True, 1, when))


@judge.that("lists give count and date of plays only to those who ask")
def _():
    plain = next(one for one in read(include_item_types="Movie", is_played=True).items if one.id == film.id)
    equal((plain.user_data.played, plain.user_data.play_count, plain.user_data.last_played_date), (True, 0, None))
    fields = "UserDataPlayCount,UserDataLastPlayedDate"
    asked = next(
        one for one in read(include_item_types="Movie", filters="IsPlayed", fields=fields).items if one.id == film.id
    )
    equal((asked.user_data.play_count, asked.user_data.last_played_date.year), (1, 2023))


@judge.that("an item is found by one of its ids")
def _():
    provider, value = next((n, v) for n, v in film.provider_ids.items() if n.lower() == "imdb")
    page = read(any_provider_id_equals=f"{provider.lower()}.{value}", include_item_types="Movie")
    assert film.id in [one.id for one in page.items]


@judge.that("a film is marked as unplayed and nothing is left of the play")
def _():
    data = playstate.delete_users_by_userid_playeditems_by_id(user_id, film.id)
    equal((data.played, data.play_count, data.playback_position_ticks), (False, 0, 0))
    one = library.get_users_by_userid_items_by_id(user_id, film.id)
    equal((one.user_data.played, one.user_data.last_played_date), (False, None))


@judge.that("a position is set and read back")
def _():
    body = emby.UserItemDataDto(playback_position_ticks=film.run_time_ticks // 3)
    playstate.post_users_by_userid_items_by_itemid_userdata(body, user_id, film.id)
    one = library.get_users_by_userid_items_by_id(user_id, film.id)
    equal(one.user_data.playback_position_ticks, film.run_time_ticks // 3)
    assert film.id in [one.id for one in items.get_users_by_userid_items_resume(user_id).items]
    playstate.delete_users_by_userid_playeditems_by_id(user_id, film.id)


@judge.that("shows have seasons and episodes")
def _():
    page = read(parent_id=shows.id, include_item_types="Series", fields="RecursiveItemCount")
    show = next(one for one in page.items if one.user_data.unplayed_item_count > 1)
    tv = emby.TvShowsServiceApi(key)
    assert tv.get_shows_by_id_seasons(user_id, show.id).items
    # Emby's specification forgets to say what this one answers.
    raw = tv.get_shows_by_id_episodes(show.id, user_id=user_id, fields="ProviderIds", _preload_content=False)
    episodes = key.deserialize(raw, "QueryResultBaseItemDto")
    equal({one.series_id for one in episodes.items}, {show.id})
    equal(len(episodes.items), show.recursive_item_count)


@judge.that("sessions are listed")
def _():
    emby.SessionsServiceApi(key).get_sessions()


judge.done()
