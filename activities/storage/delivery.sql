-- Moves a message's delivery state upwards, never down, and repeats the message in the log under its old seq.
WITH moved AS (
    UPDATE messages SET delivery_state = :state, delivery_reason = CAST(:reason AS text)
    WHERE conversation_id = :conversation_id AND id = :message_id AND author <> 'guest' AND NOT private
      AND array_position(CAST(:ranks AS text[]), delivery_state) < array_position(CAST(:ranks AS text[]), :state)
    RETURNING *
), head AS (
    INSERT INTO log_heads (property_id, head)
    SELECT :property_id, 1 FROM moved
    ON CONFLICT (property_id) DO UPDATE SET head = log_heads.head + 1
    RETURNING head
), told AS (
    INSERT INTO log (property_id, position, contact_key, conversation_id, seq, type, message_id, repeats, at)
    SELECT :property_id, head.head, moved.contact_key, :conversation_id, moved.seq, 'message', moved.id, true, now()
    FROM moved, head
    RETURNING position
)
SELECT told.position, moved.contact_key, moved.seq, to_jsonb(moved) AS message FROM told, moved
