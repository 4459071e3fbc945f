// @ctrl/plex asks for JSON: it judges that side of the Plex simulator and of plex.tv.

import { assert, checks, server } from './checks.js';

const fetched = globalThis.fetch;
const rewritten = (url) => String(url).replace(/^https:\/\/(plex\.tv|clients\.plex\.tv)/, server.plexTv);
// plex.tv's address is built into the client, so what is meant for it goes to the simulator here.
globalThis.fetch = (input, init) =>
  fetched(input instanceof Request ? new Request(rewritten(input.url), input) : rewritten(input), init);

const { MovieSection, MyPlexAccount, PlexServer, ShowSection } = await import('@ctrl/plex');

const that = checks('@ctrl/plex');
let plex, films, shows, film, account;

await that('the server introduces itself', async () => {
  plex = new PlexServer(server.url, server.token);
  await plex.connect();
  assert.equal(plex.machineIdentifier, server.serverId);
  assert.equal(plex.myPlexUsername, server.admin.email);
  assert.equal(plex.myPlex, true, 'booleans are booleans in JSON');
  assert.equal(typeof plex.updatedAt, 'number');
});

await that('a wrong token is refused', async () => {
  await assert.rejects(new PlexServer(server.url, 'wrong').connect(), /401/);
});

await that('libraries have keys, types and places', async () => {
  const sections = await (await plex.library()).sections();
  films = sections.find((section) => section instanceof MovieSection);
  shows = sections.find((section) => section instanceof ShowSection);
  for (const section of [films, shows]) {
    assert.equal(typeof section.key, 'string');
    assert.ok(section.uuid && section.agent && section.scanner);
    assert.ok(section.locations[0].path.startsWith('/'));
    assert.ok(section.updatedAt.getTime() > 0 && section.createdAt.getTime() > 0);
  }
});

await that('films come with ids, file and dates', async () => {
  const all = await films.search({ includeGuids: true, libtype: 'movie' });
  assert.ok(all.length > 0);
  film = all.find((one) => one.guid.startsWith('plex://movie/') && !one.isWatched);
  assert.equal(typeof film.ratingKey, 'string');
  assert.equal(typeof film.year, 'number');
  assert.ok(film.guids.some((guid) => guid.id.startsWith('imdb://tt')));
  assert.ok(film.media[0].parts[0].file.startsWith('/'));
  assert.ok(film.addedAt.getTime() > 0);
});

await that('pages are cut and counted', async () => {
  const path = `/library/sections/${films.key}/all?type=1&X-Plex-Container-Start=1&X-Plex-Container-Size=2`;
  const page = (await plex.query(path)).MediaContainer;
  assert.deepEqual([page.size, page.offset, page.Metadata.length], [2, 1, 2]);
  assert.equal(page.totalSize, (await films.all()).length);
});

await that('a film is marked as played and counted', async () => {
  await film.markWatched();
  assert.equal(film.viewCount, 1);
  assert.ok(Math.abs(Date.now() - film.lastViewedAt.getTime()) < 3_600_000);
  const played = await films.search({ unwatched: false });
  assert.ok(played.some((one) => one.ratingKey === film.ratingKey));
  await film.markWatched();
  assert.equal(film.viewCount, 2);
});

await that('a film is marked as unplayed', async () => {
  await film.markUnwatched();
  assert.equal(film.isWatched, false);
  const { Metadata } = (await plex.query(`/library/metadata/${film.ratingKey}`)).MediaContainer;
  for (const gone of ['viewCount', 'viewOffset', 'lastViewedAt']) {
    assert.ok(!(gone in Metadata[0]), `${gone} is absent`);
  }
});

await that('a position is set and read back', async () => {
  const time = Math.floor(film.duration / 3);
  const query = new URLSearchParams({
    ratingKey: film.ratingKey, key: film.key, identifier: 'com.plexapp.plugins.library',
    state: 'stopped', time: String(time), duration: String(film.duration),
  });
  await plex.query(`/:/timeline?${query}`);
  const { Metadata } = (await plex.query(`/library/metadata/${film.ratingKey}`)).MediaContainer;
  assert.equal(Metadata[0].viewOffset, time);
  await film.markUnwatched();
});

await that('shows have seasons and episodes that know their show', async () => {
  const show = (await shows.all()).find((one) => one.leafCount > 1);
  assert.equal(show.guid.split('://')[0].length > 0, true);
  const episodes = await show.episodes();
  assert.equal(episodes.length, show.leafCount);
  assert.equal((await show.seasons()).length, show.childCount);
  assert.equal(episodes[0].grandparentRatingKey, show.ratingKey);
  assert.equal(typeof episodes[0].index, 'number');
  await episodes[0].markWatched();
  assert.equal(episodes[0].viewCount, 1);
  await show.reload();
  assert.equal(show.viewedLeafCount, 1);
  await episodes[0].markUnwatched();
});

await that('a film is found by guid and by the search of all hubs', async () => {
  assert.equal((await films.search({ guid: film.guid }))[0].ratingKey, film.ratingKey);
  const hubs = await plex.search(film.title);
  assert.ok(hubs.find((hub) => hub.type === 'movie').Metadata.some((one) => one.ratingKey === film.ratingKey));
});

await that('the history is a list of views', async () => {
  for (const entry of await plex.history(5)) {
    assert.equal(typeof entry.viewedAt, 'number');
    assert.equal(typeof entry.accountID, 'number');
  }
});

await that('plex.tv knows the account', async () => {
  account = await new MyPlexAccount(null, '', '', server.admin.accountToken).connect();
  assert.equal(account.uuid, server.admin.uuid);
  assert.equal(account.username, server.admin.name);
  assert.equal(account.id, Number(server.admin.id));
});

await that('plex.tv leads to the server', async () => {
  const resource = (await account.resources()).find((one) => one.clientIdentifier === server.serverId);
  assert.equal(resource.owned, true);
  const reached = await resource.connect(false);
  assert.equal(reached.machineIdentifier, server.serverId);
});

await that('a web login gives a PIN with a code', async () => {
  const login = await MyPlexAccount.getWebLogin();
  assert.ok(login.id > 0 && login.code.length >= 4 && login.uri.includes(login.code));
});
