-- Moves messages to the states that their provider reported, and repeats each in the log under its old seq.
-- A message in parts has failed if any part has. Otherwise its state is that of its last part.
WITH reported AS (
    SELECT DISTINCT ON (message_id) message_id, state, reason
    FROM delivery_reports
    WHERE conversation_id = :conversation_id AND message_id = ANY(:message_ids) AND property_id = :property_id
      AND (decides OR state = 'failed')
    ORDER BY message_id, state = 'failed' DESC, part DESC
), moved AS (
    UPDATE messages SET delivery_state = reported.state, delivery_reason = reported.reason
    FROM reported
    WHERE messages.conversation_id = :conversation_id AND messages.id = reported.message_id
      AND messages.author <> 'guest' AND NOT messages.private
      AND EXISTS (SELECT FROM conversations WHERE id = :conversation_id AND property_id = :property_id)
      AND messages.delivery_state = ANY(CASE reported.state
          WHEN 'sent' THEN ARRAY['queued', 'unknown', 'failed']
          WHEN 'failed' THEN ARRAY['queued', 'unknown', 'sent']
          WHEN 'delivered' THEN ARRAY['queued', 'unknown', 'failed', 'sent']
          ELSE ARRAY['queued', 'unknown', 'failed', 'sent', 'delivered'] END)
    RETURNING messages.*
), head AS (
    INSERT INTO log_heads (property_id, head)
    SELECT :property_id, count(*) FROM moved HAVING count(*) > 0
    ON CONFLICT (property_id) DO UPDATE SET head = log_heads.head + excluded.head
    RETURNING head
), told AS (
    INSERT INTO log (property_id, position, contact_key, conversation_id, seq, type, message_id, repeats, at)
    SELECT :property_id, head.head - count(*) OVER () + row_number() OVER (ORDER BY moved.seq), moved.contact_key,
           :conversation_id, moved.seq, 'message', moved.id, true, now()
    FROM moved, head
    RETURNING position, message_id
)
SELECT told.position, moved.contact_key, moved.seq, to_jsonb(moved) - 'words' AS message
FROM told JOIN moved ON moved.id = told.message_id ORDER BY told.position
