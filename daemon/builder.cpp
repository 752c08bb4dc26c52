#include "daemon/builder.hpp"

#include "daemon/build_log.hpp"
#include "daemon/upload_file.hpp"
#include "lib/fd.hpp"

#include <array>
#include <condition_variable>
#include <fcntl.h>
#include <fmt/format.h>
#include <mutex>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// For stopping a build: its processes end, and what is in its scratch folder is removed.
constexpr std::chrono::seconds patience{150};
constexpr auto log_life = std::chrono::days(7);
constexpr std::uint64_t scratch_bytes = std::uint64_t{3} << 30U; ///< of a build with few packages
constexpr std::uint64_t result_bytes = std::uint64_t{1} << 30U;

/// Reads what is appended to a file.
class TailReader {
  public:
    explicit TailReader(fs::path file) : file_(std::move(file)) {}

    /// What has come since the last time; nothing while there is no file.
    void read_into(BuildLog& log) {
        if (!fd_) {
            fd_ = UniqueFd(::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        }
        std::array<char, 65536> space{};
        ssize_t got = 0;
        while ((got = ::pread(fd_.get(), space.data(), space.size(), read_)) > 0) {
            log.add({space.data(), static_cast<std::size_t>(got)});
            read_ += got;
        }
    }

  private:
    const fs::path file_;
    UniqueFd fd_;
    off_t read_ = 0; ///< bytes
};

/// Tells of what the log says, for as long as it lives.
class Follower {
  public:
    Follower(const fs::path& file, Progress& progress)
        : thread_([file, &progress](const std::stop_token& stop) { follow(file, progress, stop); }) {}

  private:
    static void follow(const fs::path& file, Progress& progress, const std::stop_token& stop) {
        TailReader reader(file);
        BuildLog log;
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        while (!never.wait_for(lock, stop, 500ms, [] { return false; }) && !stop.stop_requested()) {
            reader.read_into(log);
            progress.message(log.stage());
            progress.percent(log.percent());
        }
    }

    std::jthread thread_;
};

bool is_old(const fs::path& file) {
    std::error_code gone;
    const auto changed = fs::last_write_time(file, gone);
    return !gone && fs::file_time_type::clock::now() - changed > log_life;
}

} // namespace

/// A build's folder and unit file, gone with whatever happens to it; and its scratch folder, by the unit
/// itself.
class ImageBuilder::Unit {
  public:
    Unit(const ImageBuilder& builder, const ImageBuild& call)
        : builder_(builder), place_(builder.place(Uuid::make(), builder.log(call.name))),
          output_(place_.output), name_(build_unit_name(place_.id)) {
        make_folders(builder_.logs());
        remove_whole(place_.log);
        builder_.units_.write(name_, build_unit(place_, call));
    }
    Unit(const Unit&) = delete;
    Unit& operator=(const Unit&) = delete;
    ~Unit() {
        try {
            if (!ended_) { // it may not even have begun, of which its state tells nothing
                builder_.systemd_.stop(name_, patience);
            }
            builder_.clear_up(place_);
        } catch (const Error&) {
            // The next start sweeps it.
        }
    }

    /// Runs it to its end.
    JobResult start(const SystemdClient::Cancelled& cancelled) {
        const JobResult result = builder_.systemd_.start(name_, build_limit + patience, cancelled);
        ended_ = true;
        return result;
    }

    /// What it made.
    [[nodiscard]] OwnFolder take() { return std::move(output_); }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

  private:
    const ImageBuilder& builder_;
    const BuildPlace place_;
    OwnFolder output_;
    const std::string name_;
    bool ended_ = false;
};

BuildPlace ImageBuilder::place(const Uuid& id, const fs::path& log) const {
    return {id, paths_.builds() / id.to_string(), scratch_ / ("capsul-build-" + id.to_string()), log,
            programs_};
}

/// A unit's file is there for as long as its scratch folder.
void ImageBuilder::sweep() const {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(paths_.units, none)) {
        const std::string unit = entry.path().filename().string();
        if (const auto id = build_of_unit(unit)) {
            try {
                clear_up(place(*id, {}));
            } catch (const Error&) {
                // Another start may find a systemd that answers.
            }
        }
    }
    remove_whole(paths_.builds());
    expire();
}

void ImageBuilder::expire() const {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(logs(), none)) {
        if (is_old(entry.path())) {
            remove_whole(entry.path());
        }
    }
}

void ImageBuilder::clear_up(const BuildPlace& place) const {
    const std::string unit = build_unit_name(place.id);
    systemd_.take_down(unit, patience);
    if (fs::exists(fs::symlink_status(place.scratch))) { // power was cut, or removing took too long
        remove_scratch(place);
    }
    units_.remove(unit);
}

/// In a unit, since capsuld makes no namespaces, and without one it cannot remove what subordinate ids own.
void ImageBuilder::remove_scratch(const BuildPlace& place) const {
    const std::string unit = build_unit_name(place.id);
    if (units_.write(unit, build_removal_unit(place)) == Written::changed) {
        systemd_.reload();
    }
    const JobResult result = systemd_.start(unit, patience);
    systemd_.take_down(unit, patience);
    if (result != JobResult::done) {
        throw Error(ErrorCode::internal, place.scratch.string() + ": cannot be removed");
    }
}

OwnFolder ImageBuilder::build(const ImageBuild& call, Progress& progress) const {
    check_free_space(scratch_, scratch_bytes, "building an image");
    check_free_space(paths_.data, result_bytes, "the image that is built");
    Unit unit(*this, call);
    const Follower follower(log(call.name), progress);
    const JobResult result = unit.start([&progress] { return progress.cancelled(); });
    if (result != JobResult::done) {
        throw_failure(unit.name(), result, call);
    }
    remove_whole(log(call.name));
    return unit.take();
}

void ImageBuilder::throw_failure(const std::string& unit, JobResult result, const ImageBuild& call) const {
    const std::string about = fmt::format("image {}: ", call.name.to_string());
    const std::string hint = "all that the build said is in " + log(call.name).string();
    if (result == JobResult::canceled) {
        throw Error(ErrorCode::wrong_state, about + "somebody has stopped its build", hint);
    }
    if (systemd_.status(unit).result == "timeout") {
        throw Error(ErrorCode::timeout, about + "its build did not end in time and was stopped", hint);
    }
    BuildLog said;
    TailReader(log(call.name)).read_into(said);
    if (said.ran_out_of_space()) {
        throw Error(
            ErrorCode::no_space, about + "the disk was full before it was built",
            fmt::format("free some space in {} and {}; {}", scratch_.string(), paths_.data.string(), hint));
    }
    const std::string words = said.last_words();
    throw Error(ErrorCode::internal,
                about + "its build failed" + (words.empty() ? " before it said anything" : ": " + words),
                hint);
}

} // namespace capsul
