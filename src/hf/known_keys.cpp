#include "hf/known_keys.h"

#include <array>

namespace gsnake::hf {
namespace {

constexpr std::array kNeutral{
    "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "name_or_path", "use_cache", "initializer_range",
    "gradient_checkpointing", "return_dict", "use_return_dict", "output_attentions", "output_hidden_states", "torchscript", "use_bfloat16",
    "chunk_size_feed_forward", "tf_legacy_loss", "is_decoder", "unsloth_version", "unsloth_fixed", "attn_implementation",
    "tie_last_hidden_states", "tie_encoder_decoder", "cross_attention_hidden_size",
    // tasks
    "task_specific_params", "finetuning_task", "id2label", "label2id", "num_labels", "problem_type", "classifier_dropout",
    // tokens
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id", "cls_token_id", "mask_token_id",
    "decoder_start_token_id", "tokenizer_class", "prefix", "model_max_length",
    // generation
    "max_length", "max_new_tokens", "min_length", "min_new_tokens", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
    "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "repetition_penalty",
    "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "bad_words_ids",
    "num_return_sequences", "output_scores", "return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id",
    "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "num_assistant_tokens",
    "num_assistant_tokens_schedule", "assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind"};

struct Refused {
  const char* key;
  const char* why;
};
constexpr const char* kQuantized = "the weights are quantized; take the model's own folder, with bf16, fp16 or fp32 weights";
constexpr const char* kInner = "this build has a model's keys at the top only";
constexpr std::array kRefused{
    Refused{"quantization_config", kQuantized},
    Refused{"quantization", kQuantized},
    Refused{"compression_config", kQuantized},
    Refused{"transformers_weights", "it names another file of weights; rename that to model.safetensors and take the key out"},
    Refused{"per_layer_config", "this build has layers of one shape only"},
    Refused{"text_config", kInner},
    Refused{"decoder", kInner},
    Refused{"generator", kInner},
    Refused{"kv_sharing_modes", "this build has keys and values for each layer only"},
    Refused{"pruned_heads", "this build has all heads in all layers only"},
    Refused{"fusion_config", "this build has no other layers in the place of a model's own"},
    Refused{"attention_chunk_size", "this build has no attention within chunks"},
    Refused{"is_encoder_decoder", "this build has decoders only"},
    Refused{"rope_interleaved", "this build has rotary pairs in halves only, as transformers"},
};

bool says_nothing(const Json& value) { return value == false || value.is_null() || (value.is_object() && value.empty()); }

}  // namespace

void read_common_keys(ConfigReader& reader) {
  for (const char* key : kNeutral) reader.ignore(key);
  for (const Refused& refused : kRefused) {
    if (const Json* value = reader.find(refused.key); value != nullptr && !says_nothing(*value))
      reader.refuse_key(refused.key, refused.why);
  }
  // transformers attends to what is yet to come where this is false or null.
  const Json* causal = reader.find("is_causal");
  if (reader.has("is_causal") && (causal == nullptr || *causal != true))
    reader.refuse_key("is_causal", "this build has causal attention only");
}

}  // namespace gsnake::hf
