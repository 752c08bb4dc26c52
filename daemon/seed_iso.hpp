// A small ISO 9660 image of files held in memory.
#pragma once

#include <map>
#include <string>

namespace capsul {

/// The bytes of an image with the label "cidata", by which cloud-init finds it, that holds `files` under
/// exactly their names (Rock Ridge and Joliet). The same files give the same bytes.
[[nodiscard]] std::string seed_iso(const std::map<std::string, std::string>& files);

/// The files in such an image, by name. Throws Error (invalid) when it is none.
[[nodiscard]] std::map<std::string, std::string> files_in_seed_iso(const std::string& iso);

} // namespace capsul
