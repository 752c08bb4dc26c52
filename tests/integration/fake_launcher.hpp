// A capsul-run that looks for no sandbox, since the fake systemd makes none.
#pragma once

#include "lib/fd.hpp"

#include <filesystem>

namespace capsul {

inline void make_launcher(const std::filesystem::path& programs) {
    make_folders(programs);
    replace_file(programs / "capsul-run",
                 "#!/bin/sh\nuntil [ \"$1\" = -- ]; do shift; done; shift; exec \"$@\"\n", 0755);
}

} // namespace capsul
