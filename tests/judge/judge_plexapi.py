"""plexapi, the Python client of most Plex tools, reads XML: it judges the Plex simulator and the plex.tv simulator."""

from datetime import datetime, timedelta

import requests
from plexapi.exceptions import BadRequest, NotFound, Unauthorized
from plexapi.myplex import MyPlexAccount
from plexapi.server import PlexServer

from checks import Checks, equal, raises

judge = Checks("plexapi")
server = judge.server


class Rewriting(requests.Session):
    """Sends what is meant for plex.tv to its simulator: plexapi has the address built in."""

    def request(self, method, url, *args, **kwargs):
        for host in ("https://plex.tv", "https://clients.plex.tv"):
            url = url.replace(host, server.plex_tv)
        return super().request(method, url, *args, **kwargs)


def login(token):
    return PlexServer(server.url, token, session=Rewriting())


def recent(moment):
    return moment is not None and abs(datetime.now() - moment) < timedelta(hours=1)


owner = server.admin()
friend = next(user for user in server.others() if not user.get("restricted") and not user.get("home"))


@judge.that("the server introduces itself")
def _():
    global plex
    plex = login(server.token)
    equal(plex.machineIdentifier, server.server_id)
    assert plex.friendlyName and plex.version.startswith("1.41"), plex.version
    equal(plex.myPlexUsername, owner["email"])
    equal(plex.identity().machineIdentifier, server.server_id)
    equal(plex.account().username, owner["email"])


@judge.that("a wrong token is refused")
def _():
    raises(Unauthorized, lambda: login("wrong"))


@judge.that("libraries have keys, types and places")
def _():
    global films, shows
    sections = plex.library.sections()
    films = next(section for section in sections if section.type == "movie")
    shows = next(section for section in sections if section.type == "show")
    for section in (films, shows):
        assert section.key > 0 and section.uuid and section.agent and section.scanner and section.language
        assert section.locations and section.locations[0].startswith("/"), section.locations
        assert section.updatedAt and section.createdAt
    equal(plex.library.sectionByID(films.key).title, films.title)


@judge.that("films come with ids, file and size, page by page")
def _():
    global film
    all_films = films.all()
    equal(len(all_films), films.totalSize)
    equal(len(films.search(container_size=3)), films.totalSize, "films read three at a time")
    film = next(film for film in all_films if film.guid.startswith("plex://movie/") and not film.isPlayed)
    assert any(guid.id.startswith("imdb://tt") for guid in film.guids), film.guids
    assert any(guid.id.startswith("tmdb://") for guid in film.guids), film.guids
    equal(film.librarySectionID, films.key)
    assert film.duration > 0 and film.year > 1800 and film.addedAt and film.updatedAt
    assert film.media[0].parts[0].file.startswith("/"), film.media[0].parts[0].file
    assert film.locations


@judge.that("one item has what lists have, and more")
def _():
    again = plex.fetchItem(film.ratingKey)
    equal(again.guid, film.guid)
    equal(sorted(guid.id for guid in again.guids), sorted(guid.id for guid in film.guids))
    equal(again.section().key, films.key)
    several = [item.ratingKey for item in films.all()[:3]]
    equal(sorted(item.ratingKey for item in plex.fetchItems(several)), sorted(several), "several ids in one request")
    raises(NotFound, lambda: plex.fetchItem(99999999))


@judge.that("ids stay away unless they are asked for")
def _():
    data = plex.query(f"/library/sections/{films.key}/all?includeGuids=0")
    assert data.findall("Video") and not data.findall("Video/Guid")
    data = plex.query(f"/library/sections/{shows.key}/all?type=2&includeGuids=1")
    assert data.findall("Directory/Guid") and not data.findall("Directory/Location"), "lists of shows have no places"


@judge.that("a film is marked as played, twice, and counted")
def _():
    film.markPlayed().reload()
    equal((film.isPlayed, film.viewCount, film.viewOffset), (True, 1, 0))
    assert recent(film.lastViewedAt), film.lastViewedAt
    film.markPlayed().reload()
    equal(film.viewCount, 2)


@judge.that("filters tell played from unplayed")
def _():
    played = films.search(unwatched=False)
    assert film in played and film not in films.search(unwatched=True)
    equal(len(played) + len(films.search(unwatched=True)), films.totalSize)
    equal(films.search(sort="lastViewedAt:desc", maxresults=1)[0], film)
    since = datetime.now() - timedelta(hours=1)
    assert film in films.search(filters={"lastViewedAt>>": since})
    assert film not in films.search(filters={"lastViewedAt>>": datetime.now() + timedelta(hours=1)})


@judge.that("a plain lastViewedAt>= works as well")
def _():
    since = int((datetime.now() - timedelta(hours=1)).timestamp())
    key = f"/library/sections/{films.key}/all?type=1&sort=lastViewedAt:desc&lastViewedAt>={since}"
    keys = [video.get("ratingKey") for video in plex.query(key)]
    assert str(film.ratingKey) in keys, keys
    assert all(int(video.get("lastViewedAt")) >= since for video in plex.query(key))


@judge.that("a film is marked as unplayed and nothing is left of the play")
def _():
    film.markUnplayed().reload()
    equal((film.isPlayed, film.viewCount, film.viewOffset, film.lastViewedAt), (False, 0, 0, None))
    assert film._data.get("viewCount") is None, "an unplayed item has no viewCount at all"
    assert film in films.search(unwatched=True)


@judge.that("a position is kept by the timeline and by the progress route")
def _():
    film.updateTimeline(film.duration // 3, state="stopped").reload()
    equal(film.viewOffset, film.duration // 3)
    assert recent(film.lastViewedAt)
    assert film in films.search(inProgress=True)
    film.updateProgress(film.duration // 2).reload()
    equal((film.viewOffset, film.viewCount), (film.duration // 2, 0))


@judge.that("an item under way is on the continue-watching row until it is taken off")
def _():
    assert film in plex.continueWatching()
    film.removeFromContinueWatching()
    assert film not in plex.continueWatching()


@judge.that("a timeline beyond ninety percent is a view")
def _():
    film.updateTimeline(film.duration * 95 // 100, state="stopped").reload()
    equal((film.isPlayed, film.viewCount, film.viewOffset), (True, 1, 0))
    film.markUnplayed()


@judge.that("shows have seasons and episodes that know their show")
def _():
    global show, episode
    show = next(show for show in shows.all() if show.guid.startswith("plex://show/") and show.leafCount > 1)
    assert show.guids and show.childCount >= 1
    assert show.locations, "the reload fills in the place of a show"
    episodes = show.episodes()
    equal(len(episodes), show.leafCount)
    seasons = show.seasons()
    equal(len(seasons), show.childCount)
    equal(sum(season.leafCount for season in seasons), show.leafCount)
    episode = episodes[0]
    equal(episode.grandparentRatingKey, show.ratingKey)
    equal(episode.grandparentGuid, show.guid)
    equal(episode.show(), show)
    assert episode.seasonNumber is not None and episode.episodeNumber is not None
    equal(episode.season().index, episode.seasonNumber)
    equal(len(seasons[0].episodes()), seasons[0].leafCount)
    assert episode in shows.search(libtype="episode", maxresults=None)
    equal(shows.totalViewSize("episode"), len(shows.searchEpisodes()))


@judge.that("a season marked as played marks its episodes, and the show counts them")
def _():
    season = episode.season()
    season.markPlayed()
    show.reload()
    equal(show.viewedLeafCount, season.leafCount)
    equal({item.isPlayed for item in season.episodes()}, {True})
    assert episode in shows.search(libtype="episode", unwatched=False)
    season.markUnplayed()
    show.reload()
    equal(show.viewedLeafCount, 0)


@judge.that("an item is found by guid, by title and by the search of all hubs")
def _():
    equal(films.getGuid(film.guid), film)
    equal(films.get(film.title).title, film.title)
    assert film in plex.search(film.title)
    assert film in plex.library.search(guid=film.guid, libtype="movie")


@judge.that("sorts and filters are described as clients expect")
def _():
    assert {"addedAt", "lastViewedAt", "titleSort"} <= {sort.key for sort in films.listSorts()}
    keys = {field.key.split(".")[-1] for field in films.listFields()}
    assert {"unwatched", "inProgress", "title", "addedAt", "lastViewedAt"} <= keys, keys
    equal([item.ratingKey for item in films.recentlyAdded(2)],
          [item.ratingKey for item in films.search(sort="addedAt:desc", maxresults=2)])


@judge.that("the owner reads sessions, history and accounts")
def _():
    plex.sessions()
    for entry in plex.history(maxresults=5):
        assert entry.viewedAt and entry.accountID
    equal(plex.systemAccount(1).name, owner["name"])
    equal(plex.systemAccount(int(friend["id"])).name, friend["name"])


@judge.that("a playback is seen as a session and, when finished, in the history")
def _():
    playing = next(item for item in films.all() if not item.isPlayed and item != film)
    playing.updateTimeline(playing.duration // 4, state="playing")
    session = next(session for session in plex.sessions() if session.ratingKey == playing.ratingKey)
    equal((session.usernames, session.viewOffset), ([owner["name"]], playing.duration // 4))
    equal(session.player.state, "playing")
    playing.updateTimeline(playing.duration * 96 // 100, state="stopped")
    assert all(session.ratingKey != playing.ratingKey for session in plex.sessions())
    assert any(entry.ratingKey == playing.ratingKey for entry in plex.history(ratingKey=playing.ratingKey))
    playing.markUnplayed()


@judge.that("plex.tv knows the account, its home and its friends")
def _():
    global account
    account = MyPlexAccount(token=owner["accountToken"], session=Rewriting())
    equal((account.username, account.uuid, account.id), (owner["name"], owner["uuid"], int(owner["id"])))
    assert account.ping()
    equal({user.title for user in account.users()}, {user["name"] for user in server.others()})
    raises(Unauthorized, lambda: MyPlexAccount(token="wrong", session=Rewriting()))


@judge.that("plex.tv signs in with a password")
def _():
    signed = MyPlexAccount(owner["email"], owner["password"], session=Rewriting())
    equal(signed.uuid, owner["uuid"])
    raises(Unauthorized, lambda: MyPlexAccount(owner["email"], "wrong", session=Rewriting()))


@judge.that("plex.tv leads to the server, and to the tokens of others")
def _():
    resource = next(r for r in account.resources() if r.clientIdentifier == server.server_id)
    assert resource.owned and "server" in resource.provides
    equal(resource.connect(ssl=False).machineIdentifier, server.server_id)
    token = account.user(friend["name"]).get_token(server.server_id)
    equal(login(token).machineIdentifier, server.server_id)
    equal(login(owner["accountToken"]).switchUser(friend["name"]).machineIdentifier, server.server_id)


@judge.that("a friend has states of their own and no view of the sessions")
def _():
    theirs = login(account.user(friend["name"]).get_token(server.server_id))
    mine = plex.fetchItem(film.ratingKey).viewCount
    item = theirs.fetchItem(film.ratingKey)
    before = item.viewCount
    item.markPlayed().reload()
    equal(item.viewCount, before + 1)
    equal(plex.fetchItem(film.ratingKey).viewCount, mine)
    item.markUnplayed()
    raises((BadRequest, Unauthorized), theirs.sessions)


@judge.that("the owner switches to a home user, a PIN is asked where there is one")
def _():
    home = [user for user in server.others() if user.get("home")]
    free = next(user for user in home if not user.get("pin"))
    switched = account.switchHomeUser(free["name"])
    equal(switched.uuid, free["uuid"])
    resource = next(r for r in switched.resources() if r.clientIdentifier == server.server_id)
    equal(login(resource.accessToken).machineIdentifier, server.server_id)
    locked = next(user for user in home if user.get("pin"))
    raises((BadRequest, Unauthorized), lambda: account.switchHomeUser(locked["name"], pin="0000"))
    equal(account.switchHomeUser(locked["name"], pin=locked["pin"]).uuid, locked["uuid"])


@judge.that("webhooks are added and taken away at plex.tv")
def _():
    before = account.webhooks()
    assert "http://hook.test/plex" in account.addWebhook("http://hook.test/plex")
    assert "http://hook.test/plex" in account.webhooks()
    equal(account.deleteWebhook("http://hook.test/plex"), before)


judge.done()
