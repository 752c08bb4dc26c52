// The records on disk: vms/NAME/vm.toml, networks/NAME/network.toml, images/NAME.toml,
// images/aliases/NAME.toml. Files are the database; what is cached is checked against the file's stat each
// time, so an edit by hand counts at once.
#pragma once

#include "lib/image.hpp"
#include "lib/paths.hpp"
#include "lib/vm.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace capsul {

/// A record as found: either `record`, or `broken` says why it cannot be read.
template <class Record>
struct Stored {
    Name name;
    std::shared_ptr<const Record> record;
    std::string broken;
};

/// The records of one noun. Thread-safe.
template <class Record>
class Records {
  public:
    /// `folder`/NAME`suffix`, such as "/vm.toml" or ".toml".
    Records(fs::path folder, std::string suffix) : folder_(std::move(folder)), suffix_(std::move(suffix)) {}

    /// All, sorted by name. Files whose name is not a Name are passed over.
    [[nodiscard]] std::vector<Stored<Record>> list();
    [[nodiscard]] bool exists(const Name& name) const;
    /// Nothing when there is none; a broken one is returned as such.
    [[nodiscard]] std::optional<Stored<Record>> find(const Name& name);
    /// The record; throws Error: not_found, or wrong_state when it is broken.
    [[nodiscard]] Record load(const Name& name);
    /// Durable when it returns.
    void save(const Record& record);
    /// Removes the record file, durably; nothing when there is none.
    void remove(const Name& name);
    /// Drops what is cached of a record whose file has gone.
    void forget(const Name& name);
    [[nodiscard]] fs::path file(const Name& name) const { return folder_ / (name.to_string() + suffix_); }

  private:
    struct Cached {
        struct timespec changed {};
        ino_t inode = 0;
        off_t size = 0;
        Stored<Record> stored;
    };
    [[nodiscard]] std::optional<Stored<Record>> read(const Name& name);

    fs::path folder_;
    std::string suffix_;
    std::mutex mutex_;
    std::map<Name, Cached> cache_;
};

extern template class Records<VmRecord>;
extern template class Records<ImageRecord>;
extern template class Records<AliasRecord>;
extern template class Records<NetworkRecord>;

struct Store {
    explicit Store(const Paths& paths)
        : vms(paths.vms(), "/vm.toml"), networks(paths.networks(), "/network.toml"),
          images(paths.images(), ".toml"), aliases(paths.aliases(), ".toml") {}
    Records<VmRecord> vms;
    Records<NetworkRecord> networks;
    Records<ImageRecord> images;
    Records<AliasRecord> aliases;
};

} // namespace capsul
