#include "daemon/own_folder.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace capsul {

OwnFolder::OwnFolder(std::filesystem::path path) : path_(std::move(path)) {
    make_folders(path_);
}

OwnFolder::~OwnFolder() {
    if (!path_.empty()) {
        std::error_code ignored; // what is left goes at the next start
        std::filesystem::remove_all(path_, ignored);
    }
}

void OwnFolder::rename_to(const std::filesystem::path& target) {
    if (::rename(path_.c_str(), target.c_str()) != 0) {
        throw_errno(errno, target.string());
    }
    path_.clear();
}

} // namespace capsul
