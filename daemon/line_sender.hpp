// Lines for readers that may be slow or gone. Whoever has something to tell never waits: a thread of its own
// writes.
#pragma once

#include "lib/fd.hpp"

#include <deque>
#include <memory>
#include <mutex>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

namespace capsul {

/// Thread-safe.
class LineSender {
  public:
    /// Shared by all readers that wait for it; ends in a newline.
    using Line = std::shared_ptr<const std::string>;
    class Reader;
    /// A new reader, and what it reads from.
    struct Opened {
        std::shared_ptr<Reader> reader;
        UniqueFd source;
    };
    enum class Sent { yes, reader_is_gone, too_far_behind };

    LineSender();
    /// Every reader sees the end at once.
    ~LineSender();
    LineSender(const LineSender&) = delete;
    LineSender& operator=(const LineSender&) = delete;

    [[nodiscard]] Opened open();
    /// Takes the line unless the reader has ended, or 10,000 lines wait for it already.
    Sent send(Reader& reader, const Line& line);
    /// Forgets the lines that wait, but for one that is partly written. Returns how many.
    std::size_t discard(Reader& reader);
    /// The reader sees the end after what was sent so far.
    void end(Reader& reader);

  private:
    void run();
    void wake() const;
    [[nodiscard]] std::vector<pollfd> wanted() const;
    void serve(const std::vector<pollfd>& polled);

    const UniqueFd wake_;
    mutable std::mutex mutex_; ///< of all below and of what the readers hold
    std::vector<std::shared_ptr<Reader>> readers_;
    bool stopping_ = false;
    std::thread thread_; ///< last: it uses all of the above
};

} // namespace capsul
