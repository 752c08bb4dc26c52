// Judges YAML by libyaml, whose grammar is that of PyYAML, which cloud-init uses.
#pragma once

#include <string_view>

namespace capsul {

/// Throws Error (invalid) "FILE:LINE:COLUMN: …" unless `text` is one YAML document that is a mapping or is
/// empty. `file` is for the message only.
void check_yaml_mapping(std::string_view text, std::string_view file);

} // namespace capsul
