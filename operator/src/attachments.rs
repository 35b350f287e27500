//! Which gateway each route and channel belongs to, now and before its last change. Pure.

use std::collections::HashMap;

/// The gateway of every object of one kind, by namespace and name.
#[derive(Debug, Default)]
pub struct Attachments(HashMap<(String, String), String>);

impl Attachments {
    /// An object came or changed: the gateways to look at. One that it left has to drop it.
    pub fn touched(&mut self, namespace: &str, name: &str, gateway: Option<&str>) -> Vec<String> {
        let key = (namespace.to_owned(), name.to_owned());
        let before = match gateway {
            Some(gateway) => self.0.insert(key, gateway.to_owned()),
            None => self.0.remove(&key),
        };
        let mut gateways: Vec<String> = gateway.map(str::to_owned).into_iter().collect();
        gateways.extend(before.filter(|before| Some(before.as_str()) != gateway));
        gateways
    }

    /// An object is gone.
    pub fn deleted(&mut self, namespace: &str, name: &str) -> Vec<String> {
        self.touched(namespace, name, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_concerns_its_gateway() {
        let mut attachments = Attachments::default();
        assert_eq!(attachments.touched("shop", "chat", Some("desk")), ["desk"]);
        assert_eq!(attachments.touched("shop", "chat", Some("desk")), ["desk"]);
    }

    #[test]
    fn an_object_that_moves_concerns_both_gateways() {
        let mut attachments = Attachments::default();
        attachments.touched("shop", "chat", Some("desk"));
        assert_eq!(
            attachments.touched("shop", "chat", Some("phone")),
            ["phone", "desk"]
        );
        assert_eq!(
            attachments.touched("shop", "chat", Some("phone")),
            ["phone"]
        );
    }

    #[test]
    fn a_deleted_or_unreadable_object_concerns_the_gateway_that_it_had() {
        let mut attachments = Attachments::default();
        attachments.touched("shop", "chat", Some("desk"));
        assert_eq!(attachments.touched("shop", "chat", None), ["desk"]);
        attachments.touched("shop", "chat", Some("desk"));
        assert_eq!(attachments.deleted("shop", "chat"), ["desk"]);
        assert!(attachments.deleted("shop", "chat").is_empty());
    }

    #[test]
    fn namespaces_are_apart() {
        let mut attachments = Attachments::default();
        attachments.touched("shop", "chat", Some("desk"));
        assert_eq!(
            attachments.touched("office", "chat", Some("desk")),
            ["desk"]
        );
        assert_eq!(attachments.deleted("shop", "chat"), ["desk"]);
    }
}
