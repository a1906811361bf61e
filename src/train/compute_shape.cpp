#include "train/compute_shape.h"

#include "plan/compute_dtype.h"
#include "plan/requirements.h"
#include "plan/workload.h"
#include "torch/dtype.h"

namespace gsnake::train {

std::shared_ptr<const backend::ProcessSettings> set_up_torch(const Config& config) { return backend::ProcessSettings::use(plan::compute_threads(config)); }

backend::ComputeShape compute_shape(const Config& config, plan::Purpose purpose, backend::DeviceSupport* accelerator) {
  return {plan::rows_of(config, purpose), plan::passes_of(config, purpose), config.train.dpo_beta, config.data.documents == Documents::packed, config.train.sequence_length, config.train.head_chunk, config.train.seed,
          backend::scalar_type(config.train.dtype),
          backend::scalar_type(plan::resolve_compute_dtype(config.train.dtype, config.train.compute_dtype, plan::native_dtypes(config))),
          config.train.deterministic, accelerator, plan::most_dequantised(config)};
}

}  // namespace gsnake::train
