"""jellyfin-sdk for Python has pydantic models of Jellyfin's answers: a wrong type or a missing field fails."""

from datetime import datetime, timezone
from importlib import import_module
from uuid import UUID

from checks import Checks, equal, raises

judge = Checks("jellyfin-sdk")
server = judge.server
# There are models of two versions; the newer ones also read what comes after.
generated = import_module(f"jellyfin.generated.api_{'10_10' if '10.10' in server.slug else '10_11'}")
person = (server.others() or [server.admin()])[0]
user_id = UUID(person["id"])


def client(token):
    configuration = generated.Configuration(
        host=server.url,
        api_key={"CustomAuthentication": f'Token="{token}"'},
        api_key_prefix={"CustomAuthentication": "MediaBrowser"},
    )
    return generated.ApiClient(configuration)


key = client(server.token)
items = generated.ItemsApi(key)
library = generated.UserLibraryApi(key)
playstate = generated.PlaystateApi(key)


def read(**query):
    return items.get_items(user_id=user_id, recursive=True, **query)


@judge.that("the server describes itself")
def _():
    info = generated.SystemApi(key).get_system_info()
    equal(info.id, server.server_id)
    equal(generated.SystemApi(key).get_public_system_info().id, server.server_id)


@judge.that("a wrong token is refused")
def _():
    error = raises(generated.ApiException, lambda: generated.SystemApi(client("wrong")).get_system_info())
    equal(error.status, 401)


@judge.that("users are complete")
def _():
    users = generated.UserApi(key).get_users()
    equal({user.name for user in users}, {user["name"] for user in server.users})
    one = generated.UserApi(key).get_user_by_id(user_id=user_id)
    equal((one.name, one.policy.is_administrator, one.policy.is_disabled), (person["name"], person["admin"], False))


@judge.that("a person logs in")
def _():
    login = generated.AuthenticateUserByName(Username=person["name"], Pw=person["password"])
    anonymous = client("")
    device = 'MediaBrowser Client="Judge", Device="Judge", DeviceId="judge", Version="1.0"'
    anonymous.set_default_header("Authorization", device)
    result = generated.UserApi(anonymous).authenticate_user_by_name(login)
    equal((result.user.id, result.server_id), (user_id, server.server_id))
    assert result.access_token and result.session_info.device_id == "judge"


@judge.that("libraries are complete")
def _():
    global films, shows
    views = generated.UserViewsApi(key).get_user_views(user_id=user_id)
    films = next(view for view in views.items if view.collection_type == "movies")
    shows = next(view for view in views.items if view.collection_type == "tvshows")
    folders = generated.LibraryStructureApi(key).get_virtual_folders()
    assert {films.name, shows.name} <= {folder.name for folder in folders}


@judge.that("films are complete, with every field asked for")
def _():
    global film
    fields = ["ProviderIds", "Path", "DateCreated", "MediaSources", "Overview", "Genres", "DateLastSaved", "Etag"]
    fields = [field for field in fields if field in {kind.value for kind in generated.ItemFields}]
    page = read(parent_id=films.id, include_item_types=["Movie"], fields=fields)
    equal(page.total_record_count, len(page.items))
    film = next(one for one in page.items if one.provider_ids.get("Imdb") and one.user_data.play_count == 0)
    assert film.date_created.tzinfo and film.path.startswith("/") and film.run_time_ticks > 0
    assert film.media_sources[0].path == film.path
    equal(film.user_data.item_id, film.id)


@judge.that("shows, seasons and episodes are complete")
def _():
    page = read(parent_id=shows.id, include_item_types=["Series", "Season", "Episode"], fields=["ProviderIds"])
    show = next(one for one in page.items if one.type == "Series" and one.user_data.unplayed_item_count > 1)
    episodes = generated.TvShowsApi(key).get_episodes(series_id=show.id, user_id=user_id)
    seasons = generated.TvShowsApi(key).get_seasons(series_id=show.id, user_id=user_id)
    assert episodes.items and seasons.items
    equal({one.series_id for one in episodes.items}, {show.id})
    equal(page.total_record_count, len(page.items))


@judge.that("a film is marked as played at a date, then as unplayed")
def _():
    when = datetime(2023, 7, 8, 21, 30, tzinfo=timezone.utc)
    data = playstate.mark_played_item(item_id=film.id, user_id=user_id, date_played=when)
    equal((data.played, data.play_count, data.last_played_date), (True, 1, when))
    one = library.get_item(item_id=film.id, user_id=user_id)
    equal((one.user_data.played, one.user_data.last_played_date), (True, when))
    data = playstate.mark_unplayed_item(item_id=film.id, user_id=user_id)
    equal((data.played, data.play_count, data.last_played_date), (False, 0, None))


@judge.that("played, date, count and position are set in one request")
def _():
    when = datetime(2022, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    patch = generated.UpdateUserItemDataDto(Played=True, PlayCount=3, LastPlayedDate=when, PlaybackPositionTicks=0)
    items.update_item_user_data(item_id=film.id, update_user_item_data_dto=patch, user_id=user_id)
    data = items.get_item_user_data(item_id=film.id, user_id=user_id)
    equal((data.played, data.play_count, data.last_played_date), (True, 3, when))
    newest = read(include_item_types=["Movie"], sort_by=["DatePlayed"], sort_order=["Descending"], is_played=True)
    assert film.id in [one.id for one in newest.items]
    playstate.mark_unplayed_item(item_id=film.id, user_id=user_id)


@judge.that("a position is set and shown among the resumable")
def _():
    patch = generated.UpdateUserItemDataDto(PlaybackPositionTicks=film.run_time_ticks // 2)
    items.update_item_user_data(item_id=film.id, update_user_item_data_dto=patch, user_id=user_id)
    assert film.id in [one.id for one in items.get_resume_items(user_id=user_id).items]
    assert film.id in [one.id for one in read(filters=["IsResumable"]).items]
    playstate.mark_unplayed_item(item_id=film.id, user_id=user_id)


@judge.that("sessions are complete")
def _():
    generated.SessionApi(key).get_sessions()


judge.done()
