-- Runs and held plans: of the schedule home (one run is still open), of another one, and of the webhook's events.
insert into person (name) values ('anna');
insert into server (name, kind, url, policy, updated_at)
values ('plex', 'Plex', 'http://plex:32400', '{}', '2026-06-01'), ('emby', 'Emby', 'http://emby:8096', '{}', '2026-06-01');
insert into account (server_id, person_id, configured) values (1, 1, ''), (2, 1, 'anna');
insert into item (server_id, remote_id, kind, name, ids, junk_ids, hash, first_seen_at) values
    (1, '1', 'movie', 'Heat', '{}', 0, 1, '2026-01-01'), (2, '2', 'movie', 'Heat', '{}', 0, 1, '2026-01-01'),
    (2, '3', 'movie', 'Heat Wave', '{}', 0, 1, '2026-01-01');
insert into run (job, verb, server_id, server_name, schedule, dry_run, started_at, finished_at, outcome, counts)
values
    ('00000000-0000-0000-0000-00000000000a', 'import', 1, 'plex', 'home', false, '2026-06-01T08:00:00Z', '2026-06-01T08:01:00Z', 'try_again', '{"read": 1}'),
    ('00000000-0000-0000-0000-00000000000b', 'import', 1, 'plex', 'home', false, '2026-06-01T09:00:00Z', '2026-06-01T09:01:00Z', 'done', '{"read": 100, "held": 0}'),
    ('00000000-0000-0000-0000-00000000000b', 'import', 2, 'emby', 'home', false, '2026-06-01T09:00:00Z', '2026-06-01T09:02:00Z', 'held', '{"read": 50, "held": 2}'),
    ('00000000-0000-0000-0000-00000000000c', 'import', 2, 'emby', 'other', false, '2026-06-01T09:00:00Z', '2026-06-01T09:02:00Z', 'held', '{"held": 1}'),
    ('00000000-0000-0000-0000-00000000000d', 'webhook', 1, 'plex', null, false, '2026-06-01T09:30:00Z', '2026-06-01T09:30:00Z', 'held', '{}'),
    ('00000000-0000-0000-0000-00000000000e', 'import', 1, 'plex', 'home', false, '2026-06-01T10:00:00Z', null, null, '{}');
insert into plan (run_id, account_id, state, played_total, created_at) values
    (3, 2, 'held', 10, '2026-06-01T09:02:00Z'), (4, 2, 'held', 10, '2026-06-01T09:02:00Z'), (5, 1, 'held', 10, '2026-06-01T09:30:00Z'),
    (2, 1, 'approved', 10, '2026-06-01T09:01:00Z');
insert into plan_item (plan_id, item_id, true_at, plays, position_ms)
values (1, 2, '2026-06-01', 0, 0), (1, 3, '2026-06-01', 0, 0), (2, 2, '2026-06-01', 0, 0), (3, 1, '2026-06-01', 0, 0);
