// @jellyfin/sdk is Jellyfin's official client, made from its specification.

import { Jellyfin } from '@jellyfin/sdk';
import { getLibraryApi } from '@jellyfin/sdk/lib/utils/api/library-api.js';
import { getSessionApi } from '@jellyfin/sdk/lib/utils/api/session-api.js';
import { getShowApi } from '@jellyfin/sdk/lib/utils/api/show-api.js';
import { getSystemApi } from '@jellyfin/sdk/lib/utils/api/system-api.js';
import { getUserApi } from '@jellyfin/sdk/lib/utils/api/user-api.js';
import { getUserDataApi } from '@jellyfin/sdk/lib/utils/api/user-data-api.js';
import { getUserViewApi } from '@jellyfin/sdk/lib/utils/api/user-view-api.js';

import { assert, checks, server } from './checks.js';

const that = checks('@jellyfin/sdk');
const sdk = new Jellyfin({
  clientInfo: { name: 'Judge', version: '1.0' },
  deviceInfo: { name: 'Judge', id: 'judge' },
});
const TICKS = 10_000;
const person = server.others[0] ?? server.admin;
const refused = (status) => (error) => error.response?.status === status;
let api, userId, films, shows, film;

await that('the server tells its name, id and version to anyone', async () => {
  const { data } = await getSystemApi(sdk.createApi(server.url)).getPublicSystemInfo();
  assert.equal(data.Id, server.serverId);
  assert.match(data.Version, /^\d+\.\d+\.\d+/);
  assert.equal(data.ProductName, 'Jellyfin Server');
  assert.equal(data.StartupWizardCompleted, true);
});

await that('a person logs in with name and password', async () => {
  api = sdk.createApi(server.url);
  const { data } = await api.authenticateUserByName(person.name, person.password);
  assert.equal(data.ServerId, server.serverId);
  assert.equal(data.User.Name, person.name);
  assert.ok(data.AccessToken);
  api.update({ accessToken: data.AccessToken });
  userId = data.User.Id;
  assert.equal((await getUserApi(api).getCurrentUser()).data.Id, userId);
});

await that('a wrong password and a wrong token are refused', async () => {
  await assert.rejects(sdk.createApi(server.url).authenticateUserByName(person.name, 'wrong'), refused(401));
  await assert.rejects(getUserViewApi(sdk.createApi(server.url, 'wrong')).getUserViews({}), refused(401));
});

await that('an API key lists users', async () => {
  const { data } = await getUserApi(sdk.createApi(server.url, server.token)).getUsers({});
  assert.deepEqual(new Set(data.map((user) => user.Name)), new Set(server.users.map((user) => user.name)));
  assert.equal(data.filter((user) => user.Policy.IsAdministrator).length, 1);
});

await that('libraries have ids and collection types', async () => {
  const { data } = await getUserViewApi(api).getUserViews({ userId });
  films = data.Items.find((view) => view.CollectionType === 'movies');
  shows = data.Items.find((view) => view.CollectionType === 'tvshows');
  assert.ok(films.Id && shows.Id);
  assert.equal(data.TotalRecordCount, data.Items.length);
});

const items = async (query) => (await getLibraryApi(api).getItems({ userId, recursive: true, ...query })).data;

await that('films come with ids, path and user data', async () => {
  const page = await items({ parentId: films.Id, includeItemTypes: ['Movie'], fields: ['ProviderIds', 'Path', 'DateCreated'] });
  assert.equal(page.TotalRecordCount, page.Items.length);
  film = page.Items.find((one) => one.ProviderIds.Imdb && !one.UserData.Played && one.UserData.PlayCount === 0);
  assert.match(film.Id, /^[0-9a-f]{32}$/);
  assert.match(film.DateCreated, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$/);
  assert.ok(film.Path.startsWith('/') && film.RunTimeTicks > 0);
  assert.equal(film.UserData.Key.length > 0, true);
});

await that('pages are cut and counted', async () => {
  const query = { parentId: films.Id, includeItemTypes: ['Movie'], sortBy: ['SortName'] };
  const all = await items(query);
  const page = await items({ ...query, startIndex: 1, limit: 2 });
  assert.deepEqual(page.Items.map((one) => one.Id), all.Items.slice(1, 3).map((one) => one.Id));
  assert.deepEqual([page.TotalRecordCount, page.StartIndex], [all.TotalRecordCount, 1]);
  const count = await items({ ...query, limit: 0 });
  assert.deepEqual([count.Items.length, count.TotalRecordCount], [0, all.TotalRecordCount]);
});

const state = async () => (await getUserDataApi(api).getItemUserData({ itemId: film.Id, userId })).data;

await that('a film is marked as played at a date', async () => {
  const datePlayed = '2024-03-05T20:15:30.000Z';
  const { data } = await getUserDataApi(api).markPlayedItem({ itemId: film.Id, userId, datePlayed });
  assert.deepEqual([data.Played, data.PlayCount, data.PlaybackPositionTicks], [true, 1, 0]);
  assert.equal(Date.parse(data.LastPlayedDate), Date.parse(datePlayed));
  assert.equal((await state()).Played, true);
  const played = await items({ parentId: films.Id, includeItemTypes: ['Movie'], filters: ['IsPlayed'] });
  assert.ok(played.Items.some((one) => one.Id === film.Id));
  assert.equal((await items({ ids: [film.Id] })).Items[0].UserData.Played, true);
});

await that('a film is marked as unplayed and nothing is left of the play', async () => {
  const { data } = await getUserDataApi(api).markUnplayedItem({ itemId: film.Id, userId });
  assert.deepEqual([data.Played, data.PlayCount, data.PlaybackPositionTicks], [false, 0, 0]);
  assert.equal((await state()).LastPlayedDate ?? null, null);
});

await that('a position is set exactly and read back', async () => {
  const position = Math.floor(film.RunTimeTicks / 3);
  const { data } = await getUserDataApi(api).updateItemUserData({
    itemId: film.Id, userId,
    updateUserItemDataDto: { PlaybackPositionTicks: position, LastPlayedDate: '2024-03-06T20:15:30.000Z' },
  });
  assert.equal(data.PlaybackPositionTicks, position);
  const resumable = await items({ parentId: films.Id, includeItemTypes: ['Movie'], filters: ['IsResumable'] });
  assert.ok(resumable.Items.some((one) => one.Id === film.Id));
  const { data: resume } = await getLibraryApi(api).getResumeItems({ userId });
  assert.ok(resume.Items.some((one) => one.Id === film.Id));
  await getUserDataApi(api).markUnplayedItem({ itemId: film.Id, userId });
});

await that('shows have seasons and episodes', async () => {
  const page = await items({ parentId: shows.Id, includeItemTypes: ['Series'], fields: ['ProviderIds'] });
  const show = page.Items.find((one) => one.UserData.UnplayedItemCount > 1);
  const { data: seasons } = await getShowApi(api).getSeasons({ seriesId: show.Id, userId });
  const { data: episodes } = await getShowApi(api).getEpisodes({ seriesId: show.Id, userId, fields: ['ProviderIds'] });
  assert.ok(seasons.Items.length > 0 && episodes.Items.length > 1);
  const [episode] = episodes.Items;
  assert.equal(episode.SeriesId, show.Id);
  assert.ok(seasons.Items.some((season) => season.Id === episode.SeasonId));
  await getUserDataApi(api).markPlayedItem({ itemId: show.Id, userId });
  const after = (await items({ ids: [show.Id] })).Items[0];
  assert.deepEqual([after.UserData.Played, after.UserData.UnplayedItemCount], [true, 0]);
  await getUserDataApi(api).markUnplayedItem({ itemId: show.Id, userId });
});

await that('one item is read by its id, a missing one is not found', async () => {
  assert.equal((await getLibraryApi(api).getItem({ itemId: film.Id, userId })).data.Name, film.Name);
  const missing = getLibraryApi(api).getItem({ itemId: '0'.repeat(31) + '1', userId });
  await assert.rejects(missing, refused(404));
});

await that('a playback reported from a player is a session, and a view when finished', async () => {
  const session = getSessionApi(api);
  const told = { ItemId: film.Id, CanSeek: true, IsPaused: false };
  await session.reportPlaybackStart({ playbackStartInfo: { ...told, PositionTicks: 0 } });
  await session.reportPlaybackProgress({ playbackProgressInfo: { ...told, PositionTicks: 60_000 * TICKS } });
  const { data: sessions } = await session.getSessions({});
  assert.ok(sessions.some((one) => one.NowPlayingItem?.Id === film.Id));
  const PositionTicks = Math.floor(film.RunTimeTicks * 0.95);
  await session.reportPlaybackStopped({ playbackStopInfo: { ItemId: film.Id, PositionTicks } });
  const after = await state();
  assert.deepEqual([after.Played, after.PlayCount, after.PlaybackPositionTicks], [true, 1, 0]);
  await getUserDataApi(api).markUnplayedItem({ itemId: film.Id, userId });
});

await that('a person can not change the states of another', async () => {
  const itemId = film.Id;
  const other = server.admin.id;
  if (other === userId) return;
  await assert.rejects(getUserDataApi(api).markPlayedItem({ itemId, userId: other }), refused(403));
});

await that('a logged-out token is refused', async () => {
  await api.logout();
  await assert.rejects(getUserViewApi(api).getUserViews({ userId }), refused(401));
});
