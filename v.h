Host: 127.0.0.1:37861
Content-Type: application/json
webhook-id: evt_01a20007-dad4-7418-ae3d-e335a8ec93bf
webhook-timestamp: 1795296844
webhook-signature: v1,PvC3Y/yG4kEVYoS9zulmiL+P/i8qOjgwcQGgCp9vesg= v1a,bmhFIj0XzZ0kFYhkC5BV9pHPuHGRZ4NMxSdkEo4CjJrgJz8U0h1mhctEd/uxHxv/iXRgjbbaiuomE87YYAArCw==
X-AgenticFlow-Signature: sha256=db4195d753d5a0f9e424f92e73fb5f6a5c37a75eb86646722697a13c4ba749db
traceparent: 00-ae40e135a704c2bfe067fef9757d67a0-01abb2eae87e16be-01
User-Agent: Hookline/0.1.0
Accept: */*
Accept-Encoding: identity
Content-Length: 128