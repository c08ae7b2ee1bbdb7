"""The receivers that the AgenticFlow seed prints, unchanged, against what we send (AF-22).

Around them stand the smallest web frameworks that they can tell from Express and Flask.
"""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace
from typing import Any

from golden import TYPED, body
from programs import program

SLACK = """
// Webhook endpoint to send workflow completions to Slack
app.post('/webhooks/agenticflow', (req, res) => {
const { event, data } = req.body;
if (event === 'workflow.execution.completed') {
const message = {
text: `Workflow ${data.workflow_id} completed successfully!`,
attachments: [{
color: data.status === 'success' ? 'good' : 'danger',
fields: [
{ title: 'Duration', value: `${data.duration_seconds}s`, short: true },
{ title: 'Credits Used', value: data.credits_used, short: true }
]
}]
};
// Send to Slack webhook
fetch(process.env.SLACK_WEBHOOK_URL, {
method: 'POST',
body: JSON.stringify(message)
});
}
res.status(200).send('OK');
});
"""

EXPRESS = """
const routes = {}, sent = [], answers = [];
const app = { post: (path, handler) => { routes[path] = handler; } };
const fetch = (url, options) => { sent.push(JSON.parse(options.body)); };
const res = { status(code) { answers.push(code); return this; }, send() { return this; } };
%s
for (const raw of JSON.parse(require('fs').readFileSync(0, 'utf8')))
  routes['/webhooks/agenticflow']({ body: JSON.parse(raw) }, res);
console.log(JSON.stringify({ sent, answers }));
"""

DATABASE = """
@app.route('/webhooks/agenticflow', methods=['POST'])
def sync_to_database():
    data = request.json
    if data['event'] == 'agent.conversation.completed':
        conversation = data['data']
        # Save to database
        db.conversations.insert_one({
            'agent_id': conversation['agent_id'],
            'conversation_id': conversation['conversation_id'],
            'user_id': conversation['user_id'],
            'completed_at': conversation['completed_at'],
            'satisfaction_score': conversation['satisfaction_score'],
            'credits_used': conversation['credits_used']
        })
    return 'OK', 200
"""

SENT = {name: body("agenticflow", case).decode() for name, case in TYPED.items()}


def test_the_slack_receiver_tells_of_each_completed_workflow_and_takes_the_rest() -> None:
    """AF-22: event and data, workflow_id, status, duration_seconds, credits_used."""
    done = subprocess.run(
        [program("node"), "-e", EXPRESS % SLACK],
        input=json.dumps(list(SENT.values())),
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    )
    told = json.loads(done.stdout)

    assert told["answers"] == [200] * len(SENT)
    assert told["sent"] == [
        {
            "text": "Workflow wf_abc123 completed successfully!",
            "attachments": [
                {
                    "color": "good",
                    "fields": [
                        {"title": "Duration", "value": "1.85s", "short": True},
                        {"title": "Credits Used", "value": 4.5, "short": True},
                    ],
                }
            ],
        }
    ]


def test_the_database_receiver_stores_each_completed_conversation_and_takes_the_rest() -> None:
    """AF-22: the six keys of a conversation."""
    routes: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    request = SimpleNamespace(json=None)

    def route(path: str, methods: list[str]) -> Any:
        assert methods == ["POST"]
        return lambda handler: routes.setdefault(path, handler)

    world = {
        "app": SimpleNamespace(route=route),
        "request": request,
        "db": SimpleNamespace(conversations=SimpleNamespace(insert_one=rows.append)),
    }
    exec(DATABASE, world)
    for raw in SENT.values():
        request.json = json.loads(raw)
        assert routes["/webhooks/agenticflow"]() == ("OK", 200)

    assert rows == [
        {
            "agent_id": "agent_abc123",
            "conversation_id": "conv_63636363-6363-6363-6363-636363636363",
            "user_id": "user_123",
            "completed_at": "2025-05-29T15:53:15.595Z",
            "satisfaction_score": 4.5,
            "credits_used": 4.5,
        }
    ]
