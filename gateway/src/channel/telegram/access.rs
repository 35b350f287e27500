//! Who is answered on a Telegram channel. Pure.

use claw_crds::gateway_config::{AccessConfig, DirectAccess, GroupAccess};

use super::update::{Chat, User};

/// What the access rules say of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answered whatever it says.
    Allowed,
    /// Answered if it is meant for the bot.
    IfAddressed,
    /// Not answered: nobody is, in this kind of chat.
    Closed,
    /// Not answered: neither the sender nor the group is in the allow list.
    Unlisted,
}

/// Apply the rules to a sender in a chat.
pub(crate) fn judge(access: &AccessConfig, sender: &User, chat: &Chat) -> Verdict {
    if chat.is_private() {
        return match access.direct {
            DirectAccess::Open => Verdict::Allowed,
            DirectAccess::AllowList if is_listed(access, sender.id, sender.username.as_deref()) => {
                Verdict::Allowed
            }
            DirectAccess::AllowList => Verdict::Unlisted,
            DirectAccess::Disabled => Verdict::Closed,
        };
    }
    let admitted = access.direct == DirectAccess::Open
        || is_listed(access, sender.id, sender.username.as_deref())
        || is_listed(access, chat.id, chat.username.as_deref());
    match access.groups {
        GroupAccess::Disabled => Verdict::Closed,
        GroupAccess::MentionOnly | GroupAccess::All if !admitted => Verdict::Unlisted,
        GroupAccess::MentionOnly => Verdict::IfAddressed,
        GroupAccess::All => Verdict::Allowed,
    }
}

fn is_listed(access: &AccessConfig, id: i64, username: Option<&str>) -> bool {
    access
        .allow_from
        .iter()
        .any(|entry| match entry.strip_prefix('@') {
            Some(name) => username.is_some_and(|username| username.eq_ignore_ascii_case(name)),
            None => entry.parse() == Ok(id),
        })
}

#[cfg(test)]
mod tests {
    use DirectAccess as D;
    use GroupAccess as G;
    use Verdict::{Allowed, Closed, IfAddressed, Unlisted};
    use rstest::rstest;

    use super::*;

    fn access(direct: D, groups: G, allow_from: &[&str]) -> AccessConfig {
        AccessConfig {
            direct,
            groups,
            allow_from: allow_from.iter().map(ToString::to_string).collect(),
        }
    }

    fn ada() -> User {
        User {
            id: 42,
            is_bot: false,
            username: Some("Ada_L".into()),
        }
    }

    fn chat(id: i64, kind: &str) -> Chat {
        Chat {
            id,
            kind: kind.into(),
            username: (id < 0).then(|| "engines".into()),
        }
    }

    #[rstest]
    #[case::open(D::Open, &[], Allowed)]
    #[case::listed_by_id(D::AllowList, &["42"], Allowed)]
    #[case::listed_by_name_in_another_case(D::AllowList, &["@ada_l"], Allowed)]
    #[case::a_name_without_at_is_no_name(D::AllowList, &["Ada_L"], Unlisted)]
    #[case::another_id(D::AllowList, &["421", "4"], Unlisted)]
    #[case::an_id_after_an_at_is_a_name(D::AllowList, &["@42"], Unlisted)]
    #[case::disabled_even_when_listed(D::Disabled, &["42"], Closed)]
    fn direct_messages(#[case] direct: D, #[case] allow: &[&str], #[case] expected: Verdict) {
        assert_eq!(
            judge(&access(direct, G::All, allow), &ada(), &chat(42, "private")),
            expected
        );
    }

    #[rstest]
    #[case::disabled(D::Open, G::Disabled, &["42"], Closed)]
    #[case::open_all(D::Open, G::All, &[], Allowed)]
    #[case::open_mention(D::Open, G::MentionOnly, &[], IfAddressed)]
    #[case::sender_listed(D::AllowList, G::MentionOnly, &["42"], IfAddressed)]
    #[case::group_listed(D::AllowList, G::All, &["-100123"], Allowed)]
    #[case::group_listed_by_name(D::AllowList, G::All, &["@Engines"], Allowed)]
    #[case::nobody_listed(D::AllowList, G::All, &["7"], Unlisted)]
    #[case::direct_disabled_still_serves_listed_groups(D::Disabled, G::All, &["-100123"], Allowed)]
    #[case::direct_disabled_opens_nothing(D::Disabled, G::All, &[], Unlisted)]
    fn group_messages(
        #[case] direct: D,
        #[case] groups: G,
        #[case] allow: &[&str],
        #[case] expected: Verdict,
    ) {
        assert_eq!(
            judge(
                &access(direct, groups, allow),
                &ada(),
                &chat(-100_123, "supergroup")
            ),
            expected
        );
    }

    #[test]
    fn a_sender_without_a_name_matches_no_name() {
        let nameless = User {
            username: None,
            ..ada()
        };
        assert_eq!(
            judge(
                &access(D::AllowList, G::All, &["@", "@none"]),
                &nameless,
                &chat(42, "private")
            ),
            Unlisted
        );
    }
}
