-- A page of a library is a thousand rows that share a server, a library and an account, and whose items and titles the same transaction has just made or
-- looked up. A foreign key looks every row's parents up again and locks them, which took more than half of the time of storing a page. So for these tables:
-- parents that a whole page shares are locked once a statement (`for key share`), items and titles are made, joined and deleted under one lock
-- (`locks::titles`), and what a foreign key did when a parent goes is done here, for all rows at once.
alter table item drop constraint item_server_id_fkey, drop constraint item_library_id_fkey;
alter table item_title drop constraint item_title_item_id_fkey, drop constraint item_title_title_id_fkey;
alter table external_id drop constraint external_id_title_id_fkey;
alter table observation drop constraint observation_account_id_fkey, drop constraint observation_item_id_fkey;
alter table outbox drop constraint outbox_account_id_fkey, drop constraint outbox_item_id_fkey;
-- Persons are never deleted.
alter table watch_state drop constraint watch_state_person_id_fkey;
alter table play drop constraint play_person_id_fkey;

create function server_gone() returns trigger language plpgsql as $$
begin
    delete from item using gone where item.server_id = gone.id;
    return null;
end $$;
create trigger server_gone after delete on server referencing old table as gone for each statement execute function server_gone();

create function library_gone() returns trigger language plpgsql as $$
begin
    update item set library_id = null from gone where item.library_id = gone.id;
    return null;
end $$;
create trigger library_gone after delete on library referencing old table as gone for each statement execute function library_gone();

create function account_gone() returns trigger language plpgsql as $$
begin
    delete from observation using gone where observation.account_id = gone.id;
    delete from outbox using gone where outbox.account_id = gone.id;
    return null;
end $$;
create trigger account_gone after delete on account referencing old table as gone for each statement execute function account_gone();

create function item_gone() returns trigger language plpgsql as $$
begin
    delete from item_title using gone where item_title.item_id = gone.id;
    delete from observation using gone where observation.item_id = gone.id;
    delete from outbox using gone where outbox.item_id = gone.id;
    return null;
end $$;
create trigger item_gone after delete on item referencing old table as gone for each statement execute function item_gone();

create function title_gone() returns trigger language plpgsql as $$
begin
    delete from item_title using gone where item_title.title_id = gone.id;
    delete from external_id using gone where external_id.title_id = gone.id;
    return null;
end $$;
create trigger title_gone after delete on title referencing old table as gone for each statement execute function title_gone();

-- Their rows are changed soon after they were made: with room on its page, a changed row needs no new entries in the indexes.
alter table observation set (fillfactor = 75);
alter table outbox set (fillfactor = 75);
