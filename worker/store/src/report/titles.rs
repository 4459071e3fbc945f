//! Titles as people look for them, and the agreed truth of each person.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as Stamp;
use serde::Serialize;
use watchstate_domain::ids::ExternalId;
use watchstate_domain::watch::{Position, Watch};

use crate::stamp::{bind, int, number, read, unsigned};
use crate::{Connection, Result};

/// A title as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Title {
    /// Its key.
    pub title_id: i64,
    /// `movie`, `show` or `episode`.
    pub kind: String,
    /// The film's, show's or episode's name.
    pub title: String,
    /// Its year.
    pub year: Option<i32>,
    /// For an episode: the show's name, where it is known.
    pub show: Option<String>,
    /// For an episode: its season; 0 holds the specials.
    pub season: Option<u32>,
    /// For an episode: its number.
    pub episode: Option<u32>,
    /// Its ids: `imdb:tt0113277`.
    pub ids: Vec<String>,
}

impl Title {
    /// What people call it: `Heat (1995)`, `Severance S01E03 In Perpetuity`.
    pub fn label(&self) -> String {
        let place = self.season.zip(self.episode).map(|(season, episode)| format!("S{season:02}E{episode:02}"));
        let year = self.year.filter(|_| self.kind != "episode").map(|year| format!("({year})"));
        let name = (!self.title.is_empty()).then(|| self.title.clone());
        let parts: Vec<String> = self.show.clone().into_iter().chain(place).chain(name).chain(year).collect();
        if parts.is_empty() { format!("title {}", self.title_id) } else { parts.join(" ") }
    }
}

/// The agreed truth of one person and one title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// The person.
    pub person: String,
    /// The person's key.
    #[serde(skip)]
    pub person_id: i64,
    /// The title.
    #[serde(flatten)]
    pub title: Title,
    /// It counts as played.
    pub played: bool,
    /// When it was last watched, where that is known.
    pub played_at: Option<Timestamp>,
    /// How many viewings the history has.
    pub plays: i64,
    /// The position that counts, in milliseconds.
    pub position_ms: Option<u64>,
    /// When that position was reached.
    pub position_at: Option<Timestamp>,
    /// The last play or un-play: where it stands in order. None: nobody ever said either.
    pub marked_at: Option<Timestamp>,
    /// When this truth was last changed here.
    pub changed_at: Option<Timestamp>,
    /// The server whose word changed it.
    pub via: Option<String>,
    /// The rule that decided, or the command.
    pub rule: Option<String>,
}

/// Which truths are looked for. What is None doesn't filter.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// Of this person, by key.
    pub person: Option<i64>,
    /// Of these titles only; a show stands for its episodes.
    pub titles: Option<&'a [i64]>,
    /// A part of the title's or its show's name.
    pub name: Option<&'a str>,
    /// A part of the show's name.
    pub show: Option<&'a str>,
    /// Titles that the person has at this server.
    pub server: Option<i64>,
    /// Played, or not.
    pub played: Option<bool>,
    /// Changed at or after this moment.
    pub changed_since: Option<Timestamp>,
}

/// The truths that a filter lets through, by show, place, name and person; at most `limit`. Titles that a server shows to a person are there
/// even if nobody has said anything of them.
pub async fn watched(connection: &mut Connection, filter: &Filter<'_>, limit: i64) -> Result<Vec<Watched>> {
    let rows = sqlx::query!(
        r#"with chosen as materialized (
               select p.id as person_id, p.name as person, t.id as title_id, lower(coalesce(s.name, t.name)) as sorted, s.name as show,
                   w.marked_at, w.played, w.played_at, w.position_ms, w.position_at, w.changed_at, w.via, w.rule
               from title t
               cross join person p
               left join title s on s.id = t.show_id
               left join watch_state w on w.person_id = p.id and w.title_id = t.id and (w.marked_at is not null or w.position_ms is not null)
               where t.kind <> 'show'
                   and ($1::bigint is null or p.id = $1)
                   and ($2::bigint[] is null or t.id = any($2) or t.show_id = any($2))
                   and ($3::text is null or strpos(lower(t.name), lower($3)) > 0 or strpos(lower(s.name), lower($3)) > 0)
                   and ($4::text is null or strpos(lower(s.name), lower($4)) > 0 or (t.show_id is null and exists (
                       select 1 from item_title it join item i on i.id = it.item_id
                       where it.title_id = t.id and strpos(lower(i.show_name), lower($4)) > 0)))
                   and ($5::boolean is null or coalesce(w.played, false) = $5)
                   and ($6::timestamptz is null or w.changed_at >= $6)
                   and (($7::bigint is null and w.person_id is not null) or exists (
                       select 1 from item_title it
                       join observation o on o.item_id = it.item_id and o.gone_at is null
                       join account a on a.id = o.account_id
                       where it.title_id = t.id and a.person_id = p.id and ($7::bigint is null or a.server_id = $7)))
               order by sorted, t.season nulls first, t.episode nulls first, lower(t.name), t.id, p.name
               limit $8
           )
           select c.person_id as "person_id!", c.person as "person!", t.id as "id!", t.kind as "kind!", t.name as "name!", t.year, t.season, t.episode,
               coalesce(c.show, (select i.show_name from item_title it join item i on i.id = it.item_id
                   where it.title_id = t.id and i.show_name is not null order by i.id limit 1)) as show,
               (select coalesce(array_agg(e.provider || ':' || e.value order by e.provider, e.value), '{}')
                   from external_id e where e.title_id = t.id) as "ids!",
               (select count(*) from play where play.person_id = c.person_id and play.title_id = t.id) as "plays!",
               c.marked_at as "marked_at?", c.played as "played?", c.played_at as "played_at?", c.position_ms as "position_ms?",
               c.position_at as "position_at?", c.changed_at as "changed_at?", c.via as "via?", c.rule as "rule?"
           from chosen c join title t on t.id = c.title_id
           order by c.sorted, t.season nulls first, t.episode nulls first, lower(t.name), t.id, c.person"#,
        filter.person,
        filter.titles,
        filter.name,
        filter.show,
        filter.played,
        filter.changed_since.map(bind) as _,
        filter.server,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let position = row
                .position_ms
                .zip(row.position_at)
                .map(|(position_ms, at)| Position { at: at.to_jiff(), position_ms: unsigned(position_ms) });
            let mark = row.marked_at.map(|at| (at.to_jiff(), row.played.unwrap_or_default()));
            let watch = Watch::from_parts(mark, position);
            Watched {
                person: row.person,
                person_id: row.person_id,
                title: Title {
                    title_id: row.id,
                    kind: row.kind,
                    title: row.name,
                    year: row.year,
                    show: row.show,
                    season: row.season.map(number),
                    episode: row.episode.map(number),
                    ids: row.ids,
                },
                played: watch.played(),
                played_at: read(row.played_at),
                plays: row.plays,
                position_ms: watch.position().map(|position| position.position_ms),
                position_at: watch.position().map(|position| position.at),
                marked_at: watch.changed_at(),
                changed_at: read(row.changed_at),
                via: row.via,
                rule: row.rule,
            }
        })
        .collect())
}

/// How a title is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// By an id: titles that it names, and titles of items that carry it.
    Id(ExternalId),
    /// By a part of the show's name and the place in it.
    Episode {
        /// The show.
        show: String,
        /// The season.
        season: u32,
        /// The episode.
        episode: u32,
    },
    /// All episodes of a season, by a part of the show's name.
    Season {
        /// The show.
        show: String,
        /// The season.
        season: u32,
    },
    /// By a part of its name, and its year.
    Dated {
        /// The name.
        name: String,
        /// The year.
        year: i32,
    },
    /// By a part of its name.
    Name(String),
}

/// The titles that a question may mean, the nearest names first, at most `limit`; and how many there are.
pub async fn find(connection: &mut Connection, question: &Question, limit: i64) -> Result<(Vec<Title>, i64)> {
    let (mut id, mut show, mut season, mut episode, mut name, mut year) = (None, None, None, None, None, None);
    match question {
        Question::Id(asked) => id = Some(asked),
        Question::Episode { show: of, season: in_season, episode: number } => {
            (show, season, episode) = (Some(of), Some(*in_season), Some(*number));
        }
        Question::Season { show: of, season: whole } => (show, season) = (Some(of), Some(*whole)),
        Question::Dated { name: asked, year: of } => (name, year) = (Some(asked), Some(*of)),
        Question::Name(asked) => name = Some(asked),
    }
    let rows = sqlx::query!(
        r#"select t.id as "id!", t.kind as "kind!", t.name as "name!", t.year, t.season, t.episode,
               coalesce(s.name, (select i.show_name from item_title it join item i on i.id = it.item_id
                   where it.title_id = t.id and i.show_name is not null order by i.id limit 1)) as show,
               (select coalesce(array_agg(e.provider || ':' || e.value order by e.provider, e.value), '{}')
                   from external_id e where e.title_id = t.id) as "ids!",
               count(*) over () as "total!"
           from title t left join title s on s.id = t.show_id
           where case
               when $1::text is not null then
                   exists (select 1 from external_id e where e.title_id = t.id and e.provider = $1 and e.value = $2)
                   or t.id in (select it.title_id from item i join item_title it on it.item_id = i.id where $1 || ':' || $2 = any(i.ids))
               when $3::text is not null then
                   t.kind = 'episode' and t.season = $4 and ($5::integer is null or t.episode = $5) and (
                       strpos(lower(s.name), lower($3)) > 0 or exists (
                           select 1 from item_title it join item i on i.id = it.item_id
                           where it.title_id = t.id and strpos(lower(i.show_name), lower($3)) > 0))
               else strpos(lower(t.name), lower($6)) > 0 and ($8::integer is null or t.year = $8)
           end
           order by case when lower(t.name) = lower($6) or lower(s.name) = lower($3) then 0 when strpos(lower(t.name), lower($6)) = 1 then 1 else 2 end,
               lower(coalesce(s.name, t.name)), t.season nulls first, t.episode nulls first, lower(t.name), t.id
           limit $7"#,
        id.map(|id| id.provider.as_str()),
        id.map(|id| id.value.as_str()),
        show.map(String::as_str),
        season.map(int),
        episode.map(int),
        name.map(String::as_str),
        limit,
        year,
    )
    .fetch_all(connection)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    let titles = rows
        .into_iter()
        .map(|row| Title {
            title_id: row.id,
            kind: row.kind,
            title: row.name,
            year: row.year,
            show: row.show,
            season: row.season.map(number),
            episode: row.episode.map(number),
            ids: row.ids,
        })
        .collect();
    Ok((titles, total))
}

/// How much of a show a person has watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The person.
    pub person: String,
    /// Played episodes.
    pub played: i64,
    /// Of how many that are known.
    pub episodes: i64,
    /// When the last of them was watched.
    pub last_played_at: Option<Timestamp>,
}

/// How much of a show each person has watched; only that one, if a person is named.
pub async fn progress(connection: &mut Connection, show_id: i64, person_id: Option<i64>) -> Result<Vec<Progress>> {
    let rows = sqlx::query!(
        r#"select p.name as "person!", count(*) filter (where w.played) as "played!", count(*) as "episodes!",
               max(w.played_at) filter (where w.played) as "last_played_at?: Stamp"
           from title t cross join person p left join watch_state w on w.title_id = t.id and w.person_id = p.id
           where t.show_id = $1 and ($2::bigint is null or p.id = $2) group by p.id, p.name order by p.name"#,
        show_id,
        person_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Progress {
            person: row.person,
            played: row.played,
            episodes: row.episodes,
            last_played_at: read(row.last_played_at),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_called_what_people_call_it() {
        let title = |kind: &str, title: &str, year, show: Option<&str>, place: Option<(u32, u32)>| Title {
            title_id: 7,
            kind: kind.to_owned(),
            title: title.to_owned(),
            year,
            show: show.map(str::to_owned),
            season: place.map(|(season, _)| season),
            episode: place.map(|(_, episode)| episode),
            ids: Vec::new(),
        };
        let cases = [
            (title("movie", "Heat", Some(1995), None, None), "Heat (1995)"),
            (title("movie", "Heat", None, None, None), "Heat"),
            (title("show", "Severance", Some(2022), None, None), "Severance (2022)"),
            (
                title("episode", "In Perpetuity", Some(2022), Some("Severance"), Some((1, 3))),
                "Severance S01E03 In Perpetuity",
            ),
            (title("episode", "", None, Some("Severance"), Some((0, 12))), "Severance S00E12"),
            (title("episode", "Pilot", None, None, None), "Pilot"),
            (title("movie", "", None, None, None), "title 7"),
        ];
        for (title, label) in cases {
            assert_eq!(title.label(), label);
        }
    }
}
