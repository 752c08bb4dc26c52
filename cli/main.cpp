#include "cli/commands.hpp"

int main(int argc, char** argv) {
    return capsul::cli::run_program({argv + 1, argv + argc});
}
