// The output of a process that is about to end.
#pragma once

namespace capsul::launcher {

/// Says goodbye to the journal, and waits a moment until it has read all: it finds out whose lines they are
/// by looking at the process.
void finish_output();

} // namespace capsul::launcher
