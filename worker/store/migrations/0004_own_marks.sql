-- Marks that we made at servers which date them themselves (Plex stamps every mark with its own now). They outlive accounts: where one is registered anew
-- (removed and added, another person, another name) its items are seen for the first time, and the server's stamps would pass for dates of viewings.
create table own_mark (
    server_remote_id  text not null,
    account_remote_id text not null,
    item_remote_id    text not null,
    -- When it was sent, on our clock.
    made_at           timestamptz not null,
    -- When the title was watched; null where nobody knows.
    played_at         timestamptz,
    primary key (server_remote_id, account_remote_id, item_remote_id)
);
