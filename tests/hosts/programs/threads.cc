// A C++ host: exceptions of its own fly past our calls, and eight threads share
// the library.
#include <microsandbox.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Error : std::runtime_error {
	using std::runtime_error::runtime_error;
};

class Handle {
public:
	explicit Handle(msb_handle h = 0) : handle(h) {}
	~Handle() { msb_close(handle); }
	Handle(const Handle &) = delete;
	Handle &operator=(const Handle &) = delete;
	msb_handle handle;
};

void check(msb_result result, const msb_error &error)
{
	if (result != MSB_OK)
		throw Error(error.message);
}

int run(msb_handle sandbox, const char *script)
{
	const char *argv[] = {"/bin/sh", "-c", script, nullptr};
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error error = MSB_ERROR_INIT;
	Handle process;

	options.argv = argv;
	check(msb_process_start(sandbox, &options, &process.handle, &error), error);
	check(msb_wait(process.handle, 60000, &outcome, &error), error);
	return outcome.exit_code;
}

} // namespace

int main()
{
	msb_sandbox_options options = MSB_SANDBOX_OPTIONS_INIT;
	msb_error error = MSB_ERROR_INIT;
	Handle sandbox;
	std::atomic<int> good{0}, thrown{0};

	check(msb_sandbox_create(&options, &sandbox.handle, &error), error);
	std::vector<std::thread> threads;
	for (int t = 0; t < 8; t++) {
		threads.emplace_back([&, t] {
			for (int i = 0; i < 4; i++) {
				std::string script = "exit " + std::to_string(t);
				good += run(sandbox.handle, script.c_str()) == t;
				try {
					Handle stray(sandbox.handle ^ 1);
					run(stray.handle, "true");
				} catch (const Error &) {
					thrown++;
				}
			}
		});
	}
	for (auto &thread : threads)
		thread.join();
	std::printf("good %d thrown %d\n", good.load(), thrown.load());
	return 0;
}
