gsnake_fuzz(data_llmc DEPENDS data)
gsnake_fuzz(data_megatron DEPENDS data)
gsnake_fuzz(data_jsonl DEPENDS data)
gsnake_fuzz(data_tokenizer DEPENDS tokenizer)
