-- Publishes one batch of a conversation in a single statement, and so in a single transaction and round trip.
-- The row lock on the conversation serialises its publishers. Events that are stored already are skipped.
-- The lock on the head of the property's log, held to the end, makes positions become visible in order.
WITH stored AS (
    SELECT seq FROM conversations WHERE id = :conversation_id FOR UPDATE
), fresh AS (
    SELECT event.*
    FROM jsonb_to_recordset(CAST(:events AS jsonb))
        AS event(seq bigint, at timestamptz, type text, message jsonb, payload jsonb)
    WHERE event.seq > coalesce((SELECT seq FROM stored), 0)
), new_guest AS (
    INSERT INTO guests (id, property_id, name, autonomy, created_at)
    SELECT :guest_id, :property_id, CAST(:guest_name AS text), 'auto', CAST(:created_at AS timestamptz)
    WHERE NOT EXISTS (SELECT FROM stored)
    ON CONFLICT DO NOTHING
), contact AS (
    INSERT INTO contacts (contact_key, property_id, channel_type, sender_id, guest_id, created_at, route, opted_out)
    VALUES (:contact_key, :property_id, :channel_type, :sender_id, :guest_id, CAST(:created_at AS timestamptz),
            CAST(:route AS jsonb), coalesce(CAST(:opted_out AS boolean),
                EXISTS (SELECT FROM kept_opt_outs WHERE kept_opt_outs.contact_key = :contact_key)))
    ON CONFLICT (contact_key) DO UPDATE SET route = excluded.route,
        opted_out = coalesce(CAST(:opted_out AS boolean), contacts.opted_out)
        WHERE (contacts.route, contacts.opted_out)
              IS DISTINCT FROM (excluded.route, coalesce(CAST(:opted_out AS boolean), contacts.opted_out))
          AND coalesce((SELECT seq FROM stored), 0) <= :seq
), new_messages AS (
    INSERT INTO messages (conversation_id, id, contact_key, seq, author, author_name, content, attachments, private,
                          created_at, delivery_state, delivery_reason, ai)
    SELECT :conversation_id, message->>'id', :contact_key, seq, message->>'author', message->>'authorName',
           message->>'content', message->'attachments', (message->>'private')::boolean,
           (message->>'createdAt')::timestamptz, message#>>'{delivery,state}', message#>>'{delivery,reason}',
           nullif(message->'ai', 'null'::jsonb)
    FROM fresh WHERE message IS NOT NULL
    ON CONFLICT DO NOTHING
), new_notifications AS (
    INSERT INTO notifications (id, property_id, kind, text, conversation_id, audience, staff_id, at)
    SELECT payload->>'id', :property_id, payload->>'kind', payload->>'text', :conversation_id,
           payload->>'audience', payload->>'staffId', at
    FROM fresh WHERE type = 'notification'
    ON CONFLICT DO NOTHING
), settled AS (
    INSERT INTO outcomes (conversation_id, message_id, outcome, reply_id, reason, at)
    SELECT :conversation_id, "messageId", outcome, "replyId", reason, at
    FROM jsonb_to_recordset(CAST(:outcomes AS jsonb))
        AS settled("messageId" text, outcome text, "replyId" text, reason text, at timestamptz)
    ON CONFLICT (conversation_id, message_id) DO UPDATE
        SET outcome = excluded.outcome, reply_id = excluded.reply_id, reason = excluded.reason, at = excluded.at
        WHERE outcomes.at <= excluded.at
), last_message AS (
    SELECT message FROM fresh WHERE message IS NOT NULL AND NOT (message->>'private')::boolean ORDER BY seq DESC LIMIT 1
), snapshot AS (
    INSERT INTO conversations (id, contact_key, property_id, guest_id, channel_type, state, assigned_to, needs_review,
                               seq, snapshot, last_message, created_at, last_activity_at)
    VALUES (:conversation_id, :contact_key, :property_id, :guest_id, :channel_type, :state, CAST(:assigned_to AS text),
            :needs_review, :seq, CAST(:snapshot AS jsonb), (SELECT message FROM last_message),
            CAST(:created_at AS timestamptz), CAST(:at AS timestamptz))
    ON CONFLICT (id) DO UPDATE
        SET state = excluded.state, assigned_to = excluded.assigned_to, needs_review = excluded.needs_review,
            guest_id = excluded.guest_id, seq = excluded.seq, snapshot = excluded.snapshot,
            last_message = coalesce(excluded.last_message, conversations.last_message),
            last_activity_at = excluded.last_activity_at
        WHERE conversations.seq <= excluded.seq
), head AS (
    INSERT INTO log_heads (property_id, head)
    SELECT :property_id, count(*) FROM fresh HAVING count(*) > 0
    ON CONFLICT (property_id) DO UPDATE SET head = log_heads.head + excluded.head
    RETURNING head
)
INSERT INTO log (property_id, position, contact_key, conversation_id, seq, type, message_id, payload, repeats, at)
SELECT :property_id, head.head - count(*) OVER () + row_number() OVER (ORDER BY seq), :contact_key, :conversation_id,
       seq, type, message->>'id', payload, false, at
FROM fresh, head
RETURNING seq, position
