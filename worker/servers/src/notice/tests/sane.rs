//! What holds of everything that is read, whoever wrote the body. The fuzz targets check the same (`fuzz/src/lib.rs` names this file).

use watchstate_domain::item::{ItemState, ServerKind};
use watchstate_domain::notice::{Notice, What};

/// What holds of every notice, whatever the body was.
pub fn check<E>(outcome: &Result<Vec<(ServerKind, Notice)>, E>) {
    let Ok(notices) = outcome else { return };
    assert!((1..=100).contains(&notices.len()));
    for (server, notice) in notices {
        let texts = [Some(&notice.event), notice.account.as_ref().map(|account| &account.name)];
        let item = notice.item.as_ref();
        let show = item.and_then(|item| item.show.as_ref());
        let titles = [item.map(|item| &item.title), show.map(|show| &show.title)];
        for text in texts.into_iter().chain(titles).flatten() {
            assert!(text.chars().count() <= 500 && !text.contains(char::is_control), "{text:?}");
        }
        let account_id = notice.account.as_ref().map(|account| &account.id).filter(|id| !id.is_empty());
        let ids = [notice.server_id.as_ref(), notice.library_id.as_ref(), account_id];
        let item_ids = [item.map(|item| &item.remote_id), show.and_then(|show| show.remote_id.as_ref())];
        for id in ids.into_iter().chain(item_ids).flatten() {
            assert!((1..=256).contains(&id.chars().count()) && !id.contains('\0'), "{id:?}");
        }
        assert!(item.is_none_or(|item| item.state == ItemState::default()));
        assert!(item.and_then(|item| item.path.as_ref()).is_none_or(|path| path.len() <= 4096));
        if !matches!(notice.what, What::Other | What::Test) {
            assert!(notice.item.is_some() && notice.server_id.is_some(), "{server} {notice:?}");
            assert!(notice.account.is_some() || notice.what == What::Added, "{server} {notice:?}");
        }
        let kept = serde_json::to_string(&notice).unwrap();
        assert_eq!(&serde_json::from_str::<Notice>(&kept).unwrap(), notice);
        // Not a backslash that is followed by these letters.
        assert!(!kept.replace(r"\\", "").contains(r"\u0000"), "Postgres takes no such text");
    }
}
