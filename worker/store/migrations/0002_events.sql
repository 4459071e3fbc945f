-- Events of webhooks: what was received, what it meant, and who is woken by it. Stamps named sent_at and told_at are the server's.

-- Waiting: to be merged. Lookup: the server must be read first. Then one of accepted, ignored, held, unmatched.
alter table inbox
    add column sent_at     timestamptz,
    -- The rule that decided, for those that were accepted.
    add column rule        text,
    add column attempts    integer not null default 0,
    add column next_try_at timestamptz;
create index inbox_open on inbox (id) where handled_at is null;
create index inbox_unplays on inbox (account_id, received_at) where rule = 'newly-unplayed';

-- The stamp of the last event that was merged into an observation: an older one has been overtaken. And when, on our clock, an event told of a play
-- whose record is still to be read.
alter table observation
    add column told_at        timestamptz,
    add column finish_told_at timestamptz;

-- When the change that a write carries on was received: from there its delivery is measured.
alter table outbox add column told_at timestamptz;
create index outbox_due on outbox (next_try_at) where state = 'pending';

-- Raw requests, redacted, kept for a while where somebody has asked for it.
create table kept_request (
    id          bigint generated always as identity primary key,
    received_at timestamptz not null,
    expires_at  timestamptz not null,
    address     text not null,
    headers     jsonb not null,
    body        text not null,
    status      smallint not null
);
create index kept_request_expires on kept_request (expires_at);

-- Receivers and pushers hold the registry in memory: they hear when what they hold has changed.
create function watchstate_registry_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('watchstate_registry', '');
    return null;
end $$;
create trigger server_came_or_went after insert or delete on server for each row execute function watchstate_registry_changed();
create trigger server_changed after update on server for each row
    when ((old.name, old.kind, old.url, old.policy, old.remote_id, old.webhook_token_sha256, old.clock_offset_ms)
        is distinct from (new.name, new.kind, new.url, new.policy, new.remote_id, new.webhook_token_sha256, new.clock_offset_ms))
    execute function watchstate_registry_changed();
create trigger account_came_or_went after insert or delete on account for each row execute function watchstate_registry_changed();
create trigger account_changed after update on account for each row when (old is distinct from new)
    execute function watchstate_registry_changed();
create trigger library_came_or_went after insert or delete on library for each row execute function watchstate_registry_changed();
create trigger library_changed after update on library for each row when (old is distinct from new)
    execute function watchstate_registry_changed();
create trigger schedule_came_or_went after insert or delete on schedule for each row execute function watchstate_registry_changed();
create trigger schedule_changed after update on schedule for each row when (old.policy is distinct from new.policy)
    execute function watchstate_registry_changed();
