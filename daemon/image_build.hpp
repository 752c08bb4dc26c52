// Images that are built here, of a distribution's packages.
#pragma once

#include "daemon/builder.hpp"
#include "daemon/image_service.hpp"
#include "daemon/operation_service.hpp"
#include "lib/image_build.hpp"

namespace capsul {

/// Thread-safe.
class ImageBuildService {
  public:
    ImageBuildService(const ImageConfig& config, OperationService& operations, ImageService& images,
                      const ImageBuilder& builder)
        : config_(config), operations_(operations), images_(images), builder_(builder) {}

    /// Throws Error at once when it cannot be built here, or the name is taken.
    Operation build(const ImageBuild& call);

  private:
    Image run(const ImageBuild& call, Progress& progress);

    const ImageConfig& config_;
    OperationService& operations_;
    ImageService& images_;
    const ImageBuilder& builder_;
};

} // namespace capsul
