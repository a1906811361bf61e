gsnake_fuzz(hf_safetensors DEPENDS hf)
gsnake_fuzz(hf_index DEPENDS hf)
gsnake_fuzz(hf_config DEPENDS hf)
