-- A household in all the states that people ask about: agreed, un-played, held, given up, gone, conflicting, unmatched, several episodes in one file.
insert into person (name) values ('anna'), ('ben');

insert into server (name, kind, url, policy, remote_id, remote_name, version, clock_offset_ms, contacted_at, updated_at)
select name, kind, url,
    '{"import": true, "importMode": "Full", "export": true, "unplayed": "Follow", "include": [], "exclude": [], "pathRules": [], "concurrency": 4,
      "requestsPerSecond": null, "timeoutMs": 60000, "pageSize": 1000, "insecureSkipVerify": false, "suspend": false}'::jsonb || policy::jsonb,
    remote_id, name, version, clock_offset_ms, '2026-10-02', '2026-10-02'
from (values
    ('plex', 'Plex', 'http://anna:hunter2@plex:32400/?X-Plex-Token=hunter2', '{}', 'p1', '1.41.3', 3600000),
    ('jelly', 'Jellyfin', 'http://jelly:8096', '{}', 'j1', '10.11.2', 0),
    ('emby', 'Emby', 'http://emby:8096', '{"importMode": "MetadataOnly", "export": false}', 'e1', '4.9', 0)
) as new (name, kind, url, policy, remote_id, version, clock_offset_ms);

insert into account (server_id, person_id, configured, remote_id, remote_name)
values (1, 1, '', '1', 'Anna K.'), (2, 1, 'anna', 'a1', 'anna'), (2, 2, 'ben', 'b1', 'ben'), (3, 1, 'anna', 'a2', 'anna');

insert into library (server_id, remote_id, name, content, supported, selected)
values (1, '1', 'Films', 'movies', true, true), (1, '2', 'Shows', 'shows', true, true), (1, '3', 'Music', 'artist', false, true),
    (2, 'f', 'Movies', 'movies', true, true);

insert into title (id, kind, name, year, runtime_ms, show_id, season, episode, created_at) values
    (101, 'movie', 'Heat', 1995, 10200000, null, null, null, '2026-01-01'),
    (102, 'show', 'Severance', 2022, null, null, null, null, '2026-01-01'),
    (103, 'episode', 'In Perpetuity', 2022, 3000000, 102, 1, 3, '2026-01-01'),
    (104, 'episode', 'The Grim Barbarity', 2022, 3000000, 102, 1, 5, '2026-01-01'),
    (105, 'movie', 'Heat Wave', 2011, null, null, null, null, '2026-01-01'),
    (106, 'movie', 'Odd one', null, null, null, null, null, '2026-01-01');
select setval(pg_get_serial_sequence('title', 'id'), 1000);
insert into external_id (kind, provider, value, title_id) values
    ('movie', 'imdb', 'tt0113277', 101), ('movie', 'tmdb', '949', 101), ('show', 'tvdb', '371980', 102),
    ('episode', 'tvdb', '8872283', 103), ('movie', 'imdb', 'tt1111111', 105);

insert into item (server_id, library_id, remote_id, kind, name, show_name, year, season, episode, ids, junk_ids, path, hash, matched_by, conflicts,
    first_seen_at, gone_at) values
    (1, 1, '1001', 'movie', 'Heat', null, 1995, null, null, '{imdb:tt0113277}', 1, '/films/heat.mkv', 1, 'ids', null, '2026-01-01', null),
    (2, 4, 'abc', 'movie', 'Heat', null, 1995, null, null, '{tmdb:949}', 0, '/m/heat.mkv', 1, 'ids', null, '2026-01-02', null),
    (3, null, '55', 'movie', 'Heat', null, 1995, null, null, '{imdb:tt0113277}', 0, null, 1, 'ids', null, '2026-01-02', null),
    (1, 2, '2000', 'show', 'Severance', null, 2022, null, null, '{tvdb:371980}', 0, null, 1, 'new', null, '2026-01-01', null),
    (1, 2, '2003', 'episode', 'In Perpetuity', 'Severance', 2022, 1, 3, '{tvdb:8872283}', 0, '/s/s01e03-e05.mkv', 1, 'new', null, '2026-01-01', null),
    (2, 4, 'odd', 'movie', 'Odd one', null, null, null, null, '{imdb:tt0113277,tmdb:5}', 0, '/m/odd.mkv', 1, 'new',
        '[{"with": 101, "providers": ["tmdb"]}]', '2026-01-01', null),
    (1, 1, '1009', 'movie', 'Holiday Video', null, null, null, null, '{}', 2, '/films/holiday.mkv', 1, null, null, '2026-01-01', null),
    (1, 1, '1010', 'movie', 'Heat Wave', null, 2011, null, null, '{imdb:tt1111111}', 0, '/films/hw.mkv', 1, 'new', null, '2026-01-01', '2026-09-01');
insert into item_title (item_id, title_id, ordinal)
values (1, 101, 0), (2, 101, 0), (3, 101, 0), (4, 102, 0), (5, 103, 0), (5, 104, 1), (6, 106, 0), (8, 105, 0);

insert into observation (account_id, item_id, played, plays, last_played_at, position_ms, finished_plays, true_at, rule, decided_at, gone_at) values
    (1, 1, true, 1, '2026-10-01T21:00:00Z', 0, 1, '2026-10-02', 'newly-played', '2026-10-02', null),
    (2, 2, false, 0, null, 0, 0, '2026-10-02', 'first-sight-unplayed', '2026-01-02', null),
    (3, 2, false, 0, null, 0, 0, '2026-10-02', 'first-sight-unplayed', '2026-01-02', null),
    (4, 3, false, 0, null, 0, 0, '2026-10-02', 'first-sight-unplayed', '2026-01-02', null),
    (1, 5, false, 0, null, 0, 0, '2026-10-02', 'first-sight-unplayed', '2026-01-02', null),
    (2, 6, true, 2, '2026-05-01T20:00:00Z', 0, 2, '2026-10-02', 'first-sight-played', '2026-01-02', null),
    (1, 8, true, 1, '2026-05-01T21:00:00Z', 0, 1, '2026-08-02', 'first-sight-played', '2026-01-02', '2026-09-01');

insert into watch_state (person_id, title_id, marked_at, played, played_at, position_ms, position_at, via, rule, changed_at, version) values
    (1, 101, '2026-10-01T20:00:00Z', true, '2026-10-01T20:00:00Z', null, null, 'plex', 'newly-played', '2026-10-02', 1),
    (1, 103, '2026-10-01T20:00:00.123456Z', true, '2026-10-01T20:00:00Z', null, null, 'jelly', 'newly-played', '2026-10-02', 1),
    (1, 104, null, false, null, 600000, '2026-10-01T21:00:00Z', 'jelly', 'position-moved', '2026-10-02', 1),
    (1, 105, '2026-05-01T20:00:00Z', true, '2026-05-01T20:00:00Z', null, null, 'plex', 'first-sight-played', '2026-05-02', 1),
    (1, 106, '2026-05-01T20:00:00Z', true, '2026-05-01T20:00:00Z', null, null, 'jelly', 'first-sight-played', '2026-05-02', 1),
    -- Locked once, and nothing was ever said.
    (2, 101, null, false, null, null, null, '', '', '2026-05-02', 0),
    (2, 105, '2026-05-01T20:00:00Z', false, null, null, null, 'jelly', 'newly-unplayed', '2026-05-02', 2);
insert into play (person_id, title_id, first_at, last_at, played_at, source, via) values
    (1, 101, '2020-10-01T20:00:00Z', '2020-10-01T20:00:00Z', '2020-10-01T20:00:00Z', 'mark', 'plex'),
    (1, 101, '2026-10-01T20:00:00Z', '2026-10-01T20:05:00Z', '2026-10-01T20:00:00Z', 'playback', 'plex'),
    (1, 103, '2026-10-01T20:00:00Z', '2026-10-01T20:00:00Z', '2026-10-01T20:00:00Z', 'mark', 'jelly'),
    (1, 105, '2026-05-01T20:00:00Z', '2026-05-01T20:00:00Z', '2026-05-01T20:00:00Z', 'mark', 'plex'),
    (1, 106, '2026-05-01T20:00:00Z', '2026-05-01T20:00:00Z', '2026-05-01T20:00:00Z', 'mark', 'jelly');

insert into run (job, verb, server_id, server_name, dry_run, started_at, finished_at, outcome, counts, error) values
    (gen_random_uuid(), 'import', 1, 'plex', false, '2020-10-02T10:00:00Z', '2020-10-02T10:00:12Z', 'done', '{"read": 120, "changed": 3, "held": 0}', null),
    (gen_random_uuid(), 'export', 2, 'jelly', true, '2020-10-02T10:00:00Z', '2020-10-02T10:03:12Z', 'try_again', 'null', 'answered 500');
insert into plan (run_id, account_id, state, played_total, created_at) values (1, 2, 'held', 30, '2026-10-02');
insert into plan_item (plan_id, item_id, true_at, plays, position_ms) values (1, 6, '2026-10-03', 0, 0);
insert into outbox (account_id, item_id, want, want_at, version, state, attempts, next_try_at, error, enqueued_at, finished_at) values
    (2, 2, 'played', '2026-10-01T20:00:00Z', 1, 'dead', 10, '2026-10-02', 'answered 500', '2026-10-02', null),
    (2, 2, 'position', null, 1, 'written', 1, '2020-09-02', null, '2020-09-02', '2020-09-02');
insert into own_mark (server_remote_id, account_remote_id, item_remote_id, made_at, played_at) values
    ('p1', '1', '1001', '2026-10-01T20:00:00Z', null),
    ('p1', '1', (select remote_id from item where gone_at is not null), '2026-05-01T20:00:00Z', null);
