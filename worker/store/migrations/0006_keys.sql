-- One index where there were two: a page of a library is stored in every index, and each costs as much as the row itself.

-- States and plays are looked up by title, and by the person beside it; titles take them along when they are deleted.
alter table watch_state drop constraint watch_state_pkey, add primary key (title_id, person_id);
drop index watch_state_title;
alter table play drop constraint play_pkey, add primary key (title_id, person_id, first_at);
drop index play_title;

-- An item's observations are those of its server's accounts, which are few: each is looked up by account and item.
drop index observation_item;
create or replace function item_gone() returns trigger language plpgsql as $$
begin
    delete from item_title using gone where item_title.item_id = gone.id;
    delete from observation using gone join account a on a.server_id = gone.server_id
        where observation.account_id = a.id and observation.item_id = gone.id;
    delete from outbox using gone where outbox.item_id = gone.id;
    return null;
end $$;

-- What waits is found through `outbox_open`; what is finished is looked through once a day, by `prune`.
drop index outbox_due;
drop index outbox_finished;
