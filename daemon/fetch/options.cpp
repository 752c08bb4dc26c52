#include "daemon/fetch/options.hpp"

#include <stdexcept>

namespace capsul::fetch {

Options parse_options(const std::vector<std::string>& words) {
    Options options;
    if (words.empty() || (words[0] != "disk" && words[0] != "catalogue")) {
        throw std::invalid_argument("the first word is disk or catalogue");
    }
    options.command = words[0] == "disk" ? Options::Command::disk : Options::Command::catalogue;
    if (words.size() != 3 || words[1] != "--folder") {
        throw std::invalid_argument("--folder FOLDER is all that follows");
    }
    options.folder = words[2];
    if (!options.folder.is_absolute()) {
        throw std::invalid_argument("--folder takes an absolute path");
    }
    return options;
}

} // namespace capsul::fetch
