-- What calls about pictures and sound use: tokens of pictures, and what is paid in the place of tokens.

alter table call
    add column input_image_tokens bigint,
    add column output_image_tokens bigint,
    add column characters bigint,
    add column audio_ms bigint;
comment on column call.input_image_tokens is 'Part of input_tokens; null: not told.';
comment on column call.output_image_tokens is 'Part of output_tokens; null: not told.';
comment on column call.characters is 'Of a text that was spoken, where these are paid; null: they are not.';
comment on column call.audio_ms is 'How long that was what was listened to; null: not told.';
