"""Models that speak OpenAI's Chat Completions: at OpenAI, Azure, OpenRouter, vLLM, llama.cpp, Ollama, LM Studio."""
