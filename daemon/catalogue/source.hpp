// The sources of images that are in use: those that are built in, with what the configuration says over them.
#pragma once

#include "lib/config.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace capsul {

/// A source, ready to be read.
struct ImageSource {
    Name name;
    SourceKind kind = SourceKind::index;
    Url url;                                ///< ends in a slash, but of an index
    std::optional<KeyringPath> keyring;     ///< is there; none: signatures are not looked at
    std::optional<SignatureForm> signature; ///< of an index; there is one where there is a keyring
    std::vector<FolderImage> images;
    std::optional<SourceProblem> problem; ///< what is not as it should be with it
    bool usable = true;
};

/// Whether there is a file; handed in, so that this touches none.
using FileExists = std::function<bool(const std::string& path)>;

/// Those that are enabled: the configured ones first. Where the keyring of a built-in source is missing, what
/// it publishes is not verified by signature, and `problem` says which package has it; a configured one is
/// not usable then, since somebody wants that. Throws Error (invalid) that names the source and what is
/// wrong.
[[nodiscard]] std::vector<ImageSource> image_sources(const ImageConfig& config, const FileExists& exists);

} // namespace capsul
