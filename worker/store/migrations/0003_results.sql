-- The operator asks after the last runs of each schedule, and after those that ended since it last asked.
create index run_schedule on run (schedule, verb, id desc) where schedule is not null;
create index run_finished on run (finished_at) where finished_at is not null;
