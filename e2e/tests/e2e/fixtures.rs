//! What a user would apply: one gateway with everything that needs no GPU.

/// The gateway's name: unlike the product's, so that swapped values show.
pub(crate) const GATEWAY: &str = "helpdesk";
/// An API key in the Secret that the gateway selects.
pub(crate) const API_KEY: &str = "key-of-the-web-shop-0123456789";

/// A gateway with two models, two routes and two channels, and the Secrets they need. `url` is the remote API.
pub(crate) fn shop(url: &str) -> String {
    format!(
        "
apiVersion: claw.dev/v1alpha1
kind: ClawGateway
metadata: {{name: {GATEWAY}}}
spec:
  size: Medium
  replicas: 2
  models:
  - name: big
    remote: {{provider: OpenAI, baseURL: {url}, model: upstream-big, credentials: {{secretKeyRef: {{name: provider, key: token}}}}}}
  - name: bigger
    remote: {{provider: OpenAI, baseURL: {url}, model: upstream-bigger}}
  auth: {{apiKeys: {{selector: {{matchLabels: {{shop/keys: {GATEWAY}}}}}}}}}
  limits: {{requestsPerSecond: 100000, maxConnections: 64}}
  outbound: {{allowedCIDRs: [127.0.0.1/32]}}
---
apiVersion: claw.dev/v1alpha1
kind: ModelRoute
metadata: {{name: pages}}
spec:
  gatewayRef: {{name: {GATEWAY}}}
  routes:
  - {{pattern: ^/ask, model: big, fallback: bigger}}
  - {{pattern: ^/think, model: bigger}}
---
apiVersion: claw.dev/v1alpha1
kind: Channel
metadata: {{name: web}}
spec: {{gatewayRef: {{name: {GATEWAY}}}, model: big, webSocket: {{}}, access: {{direct: Open}}}}
---
apiVersion: claw.dev/v1alpha1
kind: Channel
metadata: {{name: bot}}
spec:
  gatewayRef: {{name: {GATEWAY}}}
  model: bigger
  telegram:
    botToken: {{secretKeyRef: {{name: bot, key: token}}}}
    webhookSecret: {{secretKeyRef: {{name: bot, key: secret}}}}
  access: {{allowFrom: ['42'], groups: MentionOnly}}
---
apiVersion: v1
kind: Secret
metadata: {{name: provider}}
stringData: {{token: token-of-the-provider}}
---
apiVersion: v1
kind: Secret
metadata: {{name: bot}}
stringData: {{token: '1234:token-of-the-bot', secret: secret_of_the_webhook}}
---
apiVersion: v1
kind: Secret
metadata: {{name: keys, labels: {{shop/keys: {GATEWAY}}}}}
stringData: {{web: {API_KEY}}}
"
    )
}

/// The same with a provider that nobody calls.
pub(crate) fn idle_shop() -> String {
    shop("https://provider.invalid/v1")
}
